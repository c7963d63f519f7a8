from AcuteFindingsLib.scene.verdict_corner import corner_text


def test_the_corner_says_what_how_sure_by_which_model_and_that_it_is_research(head) -> None:
    assert corner_text(head.finding).splitlines() == [
        "Intracranial hemorrhage: POSITIVE, probability 0.97",
        "test-model 0.1",
        "Research use only. Not a medical device; not for diagnosis.",
    ]
