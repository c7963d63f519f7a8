from dataclasses import replace

import pytest

from AcuteFindingsLib.scene.naming import label_words


@pytest.mark.parametrize(
    ("main", "label", "words"),
    [
        ("any", "any", "Any hemorrhage"),
        ("any", "epidural", "Epidural"),
        # As models of other packages and imported ones call what they look for.
        ("hemorrhage", "hemorrhage", "Intracranial hemorrhage"),
        ("bleed_anywhere", "bleed_anywhere", "Intracranial hemorrhage"),
        ("bleed_anywhere", "old_bleed", "Old bleed"),
    ],
)
def test_the_main_label_is_called_after_the_finding_whatever_the_model_calls_it(head, main, label, words) -> None:
    assert label_words(replace(head.finding, main_label=main), label) == words


def test_a_detector_that_is_not_installed_is_called_by_its_own_name(head) -> None:
    assert label_words(replace(head.finding, detector="fracture", main_label="any"), "any") == "Fracture"
