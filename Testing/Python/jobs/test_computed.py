"""A finding says what computed it, where, and what went wrong there."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from AcuteFindingsLib.detectors.finding import Computed, Finding, ModelIdentity, Verdict
from AcuteFindingsLib.detectors.load import LoadedDetector
from AcuteFindingsLib.detectors.verdict_words import computed_words
from AcuteFindingsLib.jobs import detect as job
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

FAILED = Notice("device-failed", "warn", "The device cuda failed while it computed.")


@dataclass
class Model:
    """What a finding asks of a predictor."""

    runtime: str
    device: str
    notices: tuple[Notice, ...] = ()


@dataclass
class Failing:
    """A detector whose model loses its device while it runs."""

    models: list[Model]

    def run(self, _study: Study, **_: Any) -> Finding:
        for model in self.models:
            model.device, model.notices = "cpu", (FAILED,)
        return Finding(
            detector="pneumothorax",
            model=ModelIdentity("m", "1", "0" * 64, "phantoms"),
            verdict=Verdict("negative", 0.1, 0.5, "r", "e"),
            slices=(),
            main_label="pneumothorax",
            slice_threshold=0.5,
            ijk_to_ras=np.eye(4),
            display_window=(0.5, 1.0),
        )


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch):
    """Detect in a study with some models by task, of which those named fail on the way."""

    def run(models: dict[str, Model], *, fail: tuple[str, ...] = ()) -> Finding:
        detector: Any = Failing([models[name] for name in fail])
        predictors: Any = models
        package: Any = SimpleNamespace(card=SimpleNamespace(form=""))
        loaded = LoadedDetector(detector, package, predictors=predictors)
        monkeypatch.setattr(job, "load_any_detector", lambda *_, **__: loaded)
        monkeypatch.setattr(job, "check_study", lambda *_: ())
        monkeypatch.setattr(job, "acquisition_of", lambda _: {})
        monkeypatch.setattr(job, "find_calibration", lambda *_: (None, ()))
        monkeypatch.setattr(job, "weigh", lambda finding, *_, **__: finding)
        study: Any = None
        return job.detect(study, "pneumothorax", started=0.0)[0]

    return run


def test_of_each_model_that_took_part_it_is_kept_what_computed_it_and_where(detected) -> None:
    models = {"pneumothorax": Model("ONNX Runtime 1", "cuda"), "lungs": Model("PyTorch 2", "cpu")}
    identity = detected(models).model
    assert (identity.runtime, identity.device) == ("ONNX Runtime 1", "cuda")
    assert identity.beside == (Computed("lungs", "PyTorch 2", "cpu"),)
    assert computed_words(identity) == "ONNX Runtime 1 on cuda; lungs by PyTorch 2 on cpu"


def test_where_a_device_fails_the_finding_names_what_answered_and_warns_once(detected) -> None:
    models = {"pneumothorax": Model("ONNX Runtime 1", "cuda"), "lungs": Model("ONNX Runtime 1", "cuda")}
    finding = detected(models, fail=("pneumothorax", "lungs"))
    assert computed_words(finding.model) == "ONNX Runtime 1 on cpu"
    assert finding.warnings == (FAILED,)


def test_a_detector_that_another_program_computes_says_nothing_of_it(detected) -> None:
    finding = detected({})
    assert finding.model == replace(finding.model, runtime="", device="", beside=())
    assert computed_words(finding.model) == ""
