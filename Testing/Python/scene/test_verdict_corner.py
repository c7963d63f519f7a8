from dataclasses import replace

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.scene.application import new_scene
from AcuteFindingsLib.scene.naming import chart_title, title_lines, verdict_line
from AcuteFindingsLib.scene.nodes import show_finding, verdict_text
from AcuteFindingsLib.scene.picture_plan import plan_pictures
from AcuteFindingsLib.scene.study_from_node import study_facts
from AcuteFindingsLib.scene.verdict_corner import corner_text
from AcuteFindingsLib.study.notice import Notice


def test_the_corner_says_what_how_sure_by_which_model_and_that_it_is_research(head) -> None:
    assert corner_text(head.finding).splitlines() == [
        "Intracranial hemorrhage: POSITIVE, probability 0.97",
        "test-model 0.1",
        "Research use only. Not a medical device; not for diagnosis.",
    ]


def test_a_corner_of_a_small_view_has_short_lines(head) -> None:
    assert corner_text(head.finding, width=300) == "Hemorrhage: POSITIVE 0.97 · research only"
    lines = corner_text(marked(head), width=300).splitlines()
    assert lines == ["REFUSED, FORCED", "Hemorrhage: POSITIVE 0.97", "demonstration model · research only"]
    assert max(map(len, lines)) <= 42  # 300 pixels in letters of 7


def marked(head) -> Finding:
    return replace(
        head.finding,
        model=replace(head.finding.model, never_saw="a patient"),
        warnings=(Notice("not-axial", "refuse", "The slices are coronal."),),
    )


def test_a_verdict_that_cannot_stand_alone_says_so_in_corner_chart_pictures_and_text(head) -> None:
    finding = marked(head)
    assert corner_text(finding).splitlines()[:2] == [
        "Intracranial hemorrhage: REFUSED, FORCED: POSITIVE, probability 0.97",
        "demonstration model, never saw a patient",
    ]
    assert chart_title(finding).splitlines() == [
        "Intracranial hemorrhage: probability by slice",
        "REFUSED, FORCED: POSITIVE · demonstration model, never saw a patient",
    ]
    for plan in plan_pictures(finding, head.study):
        assert title_lines(plan.title).splitlines() == [
            "Intracranial hemorrhage",
            "REFUSED, FORCED: POSITIVE",
            "probability 0.97",
            "demonstration model, never saw a patient",
        ]
    assert verdict_text(finding).startswith(verdict_line(finding))


def test_of_a_phantom_all_of_them_give_the_verdict_alone(head) -> None:
    finding = replace(marked(head), warnings=(), phantom=True)
    assert corner_text(finding) == corner_text(head.finding)
    assert chart_title(finding) == "Intracranial hemorrhage: probability by slice"


def test_a_volume_of_a_phantom_is_known_again(head, slicer) -> None:
    nodes = show_finding(replace(head.finding, phantom=True), head.study, scene=new_scene())
    assert study_facts(nodes.volume, "hemorrhage").is_phantom
    plain = show_finding(head.finding, head.study, scene=new_scene())
    assert not study_facts(plain.volume, "hemorrhage").is_phantom
