"""One study through one detector, from check to finding: for the command line and the worker alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from AcuteFindingsLib.detectors.acquisition import acquisition_of
from AcuteFindingsLib.detectors.finding import Computed, Finding
from AcuteFindingsLib.detectors.load import LoadedDetector
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import StudyRefusedError
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.providers.load import load_any_detector
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.notice import Notice, merge_notices, refusals
from AcuteFindingsLib.study.requirements import Requirements
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.trust.site_files import find_calibration
from AcuteFindingsLib.trust.weigh import weigh


def detect(
    study: Study,
    detector: str,
    *,
    started: float,
    model: str | None = None,
    device: str = "auto",
    folders: tuple[Path, ...] = (),
    force: bool = False,
    calibration: str | None = None,
    hint: str = "",
    load: Callable[..., Predictor] | None = None,
    accepted: Callable[[], object] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> tuple[Finding, LoadedDetector]:
    """Check a study, load the detector, run it, and say in the finding how it came about.

    Parameters
    ----------
    study, detector
        As read for this detector.
    started
        `time.perf_counter` when the reading of the study began.
    model, device, folders, load
        As for `providers.load.load_any_detector`.
    force
        Run although the check refuses the study.
    calibration
        Whose calibration the verdict gets, as for `trust.site_files.find_calibration`: a file, ``"none"``, or None for
        the one that is installed.
    hint
        What a refusal says of how to run it all the same.
    accepted
        Called when the study is not refused, before the detector is loaded.

    Raises
    ------
    StudyRefusedError
        The check refuses the study and `force` is False.
    ModelError, DetectionError, ProviderError, ConsentError
        As `load_any_detector`.
    CalibrationError
        The calibration is damaged, or another model's.
    CancelledError
        `cancelled` answered True.
    """
    from AcuteFindingsLib.models.load import load_predictor

    read = perf_counter() - started

    def at(text: str, fraction: float) -> None:
        stop_if(cancelled)
        progress(text, fraction)

    at("Checking the study", 0.0)
    kind = find_kind(detector)

    def check(limits: Requirements) -> tuple[Notice, ...]:
        notices = check_study(study, limits)
        against = refusals(notices)
        if against and not force:
            reasons = [f"{notice.text} [{notice.code}]" for notice in against]
            said = f"The study does not fit the {detector} detector:"
            raise StudyRefusedError(" ".join([said, *reasons, hint]).rstrip(), notices)
        return notices

    notices = check(kind.requirements)
    if accepted is not None:
        accepted()

    def load_next(package: ModelPackage, *, device: str) -> Predictor:
        at("Loading the model", 0.03)
        return (load or load_predictor)(package, device=device)

    at("Loading the model", 0.03)
    loaded = load_any_detector(
        detector,
        model=model,
        device=device,
        folders=folders,
        load=load_next,
        progress=part_of(at, 0.03, 0.08),
        cancelled=cancelled,
    )
    site, said = find_calibration(calibration, detector, loaded.package)
    # What the model at hand was made for may be another study than the usual one.
    limits = kind.requirements_of(loaded.package.card.form)
    if limits != kind.requirements:
        notices = check(limits)
    finding = loaded.detector.run(study, progress=part_of(at, 0.08, 0.98), cancelled=cancelled)
    # As it is after the run: a device may have failed on the way.
    computed = [Computed(task, item.runtime, item.device) for task, item in loaded.predictors.items()]
    identity = replace(finding.model, chosen=loaded.why, beside=tuple(computed[1:]))
    if computed:
        identity = replace(identity, runtime=computed[0].runtime, device=computed[0].device)
    finding = replace(
        finding,
        model=identity,
        acquisition=acquisition_of(study),
        warnings=merge_notices(notices, finding.warnings, *(item.notices for item in loaded.predictors.values()), said),
    )
    at("Weighing the verdict", 0.98)
    clock = perf_counter()
    finding = weigh(finding, study, kind=kind, package=loaded.package, calibration=site)
    weighed = perf_counter() - clock
    timings = {"read": read, **finding.timings, "weigh": weighed, "total": perf_counter() - started}
    return replace(finding, timings=timings), loaded
