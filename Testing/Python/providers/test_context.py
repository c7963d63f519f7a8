from dataclasses import replace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity, SliceResult, Verdict
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.providers.totalsegmentator.context import _NAMES, LICENSED, TASKS, PEWithContext
from AcuteFindingsLib.providers.totalsegmentator.segmenter import Segmented


class Ours:
    name = "pe"

    def run(self, study, *, progress, cancelled):
        progress("ours", 1.0)
        return Finding(
            detector="pe",
            model=ModelIdentity("ours", "1", "ab" * 32, "x"),
            verdict=Verdict("negative", 0.1, 0.5, "rule", "text"),
            slices=(SliceResult(0, (0.0, 0.0, 0.0), "", {"pe": 0.1}),),
            main_label="pe",
            slice_threshold=0.5,
            ijk_to_ras=study.ijk_to_ras,
            display_window=(100.0, 700.0),
        )


class Theirs:
    """Draws boxes; `licensed` says whether the ventricles are to be had."""

    def __init__(self, *, licensed: bool = True, wide: int = 40, error: Exception | None = None) -> None:
        self.licensed, self.wide, self.error = licensed, wide, error

    def run(self, axial, tasks, names, *, progress, cancelled):
        if self.error:
            raise self.error
        assert tuple(tasks) == TASKS
        masks = {
            task: {name: np.zeros(axial.array.shape, bool) for name in names[task]}
            for task in tasks
            if task != LICENSED or self.licensed
        }
        masks["total_fast"]["lung_upper_lobe_right"][2:4, 10:20, 10:20] = True
        masks["total_fast"]["lung_lower_lobe_right"][4:6, 10:20, 10:20] = True
        if self.licensed:
            masks[LICENSED]["heart_ventricle_right"][2:18, 30:70, 10 : 10 + self.wide] = True
            masks[LICENSED]["heart_ventricle_left"][2:18, 30:70, 60:100] = True
        return Segmented(masks, {} if self.licensed else {LICENSED: "it needs a license of its authors"})


@pytest.fixture
def study(make_ct):
    return make_ct(np.zeros((20, 110, 110)), flip_z=True)


def run(study, theirs) -> Finding:
    return PEWithContext(Ours(), theirs, version="2.18.0").run(study)


def test_the_verdict_is_ours_and_the_segments_are_added(study) -> None:
    finding = run(study, Theirs())
    assert finding.verdict == Ours().run(study, progress=lambda *_: None, cancelled=None).verdict
    assert finding.model.id == "ours"
    assert [mask.name for mask in finding.masks] == ["Right lung", "Right ventricle", "Left ventricle"]
    # The axial view runs from feet to head; this series runs the other way.
    assert finding.masks[0].array[14:18, 10:20, 10:20].all()
    assert finding.masks[0].array.sum() == 4 * 10 * 10
    assert "context-provider" in {notice.code for notice in finding.warnings}


@pytest.mark.parametrize(("wide", "ratio", "severity"), [(40, 1.0, "warn"), (30, 0.75, "info")])
def test_the_ratio_is_measured_with_both_diameters(study, wide, ratio, severity) -> None:
    finding = run(study, Theirs(wide=wide))
    values = {item.name: (item.value, item.unit) for item in finding.measurements}
    assert values["RV/LV diameter ratio"][0] == pytest.approx(ratio, abs=0.03)
    assert values["Left ventricle, widest axial diameter"] == (pytest.approx(40, abs=1.5), "mm")
    notice = next(item for item in finding.warnings if item.code == "rv-lv-ratio")
    assert "van der Meer" in notice.text
    if ratio < 1:
        assert notice.severity == severity


def test_without_the_license_the_ratio_is_left_out_and_that_is_said(study) -> None:
    finding = run(study, Theirs(licensed=False))
    assert not finding.measurements
    assert "license" in next(item.text for item in finding.warnings if item.code == "rv-lv-needs-licence")
    assert [mask.name for mask in finding.masks] == ["Right lung"]


def test_a_verdict_that_was_reached_is_kept_where_the_provider_fails(study) -> None:
    finding = run(study, Theirs(error=ProviderError("no weights")))
    assert finding.verdict.label == "negative"
    assert "no weights" in next(item.text for item in finding.warnings if item.code == "context-missing")


def test_a_study_without_hounsfield_units_keeps_its_verdict_too(study) -> None:
    finding = run(replace(study, intensity="windowed"), Theirs())
    assert "Hounsfield" in next(item.text for item in finding.warnings if item.code == "context-missing")


def test_every_wanted_structure_has_a_name() -> None:
    assert set(_NAMES) == set(TASKS)
