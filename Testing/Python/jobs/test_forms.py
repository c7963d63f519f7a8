"""A study is checked for the model at hand too: what a form of model needs may be other than the usual."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Finding, ModelIdentity, Verdict
from AcuteFindingsLib.detectors.load import LoadedDetector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import StudyRefusedError
from AcuteFindingsLib.jobs import detect as job
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.study.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_study(make_phantom("head-ct", 7, positive=True, matrix=64, slice_spacing=5.0))


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch):
    """Detect by a model of some form; `ran` holds the studies that it was shown."""

    def run(study: Study, form: str, *, force: bool = False) -> tuple[Finding, list[Study]]:
        ran: list[Study] = []

        def shown(study: Study, **_: Any) -> Finding:
            ran.append(study)
            return Finding(
                detector="hemorrhage",
                model=ModelIdentity("m", "1", "0" * 64, "patients"),
                verdict=Verdict("negative", 0.1, 0.5, "r", "e"),
                slices=(),
                main_label="any",
                slice_threshold=0.5,
                ijk_to_ras=study.ijk_to_ras,
                display_window=(40.0, 80.0),
            )

        package: Any = SimpleNamespace(card=SimpleNamespace(form=form))
        loaded = LoadedDetector(SimpleNamespace(run=shown), package)
        monkeypatch.setattr(job, "load_any_detector", lambda *_, **__: loaded)
        monkeypatch.setattr(job, "find_calibration", lambda *_: (None, ()))
        monkeypatch.setattr(job, "weigh", lambda finding, *_, **__: finding)
        return job.detect(study, "hemorrhage", started=0.0, force=force)[0], ran

    return run


def test_thickness_is_compared_with_what_the_model_at_hand_was_made_for(detected, study: Study) -> None:
    usual, _ = detected(study, "")
    assert "made for 1 to 2 mm" in " ".join(notice.text for notice in usual.warnings)
    slabs, _ = detected(study, "slab-sequence")
    assert "published model was made for" not in " ".join(notice.text for notice in slabs.warnings)


def test_a_picture_in_one_window_is_for_the_usual_model_alone(detected, study: Study) -> None:

    picture = replace(study, array=np.clip(study.array / 80, 0, 1).astype(np.float32), intensity="windowed")
    finding, ran = detected(picture, "")
    assert len(ran) == 1
    assert "window-burnt-in" in [notice.code for notice in finding.warnings]
    with pytest.raises(StudyRefusedError, match=r"load the original DICOM series\. \[window-burnt-in\]"):
        detected(picture, "slab-sequence")
