"""One study from its files to a verdict with evidence: the main job, run in-process by the command line."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from AcuteFindingsLib.detectors.registry import detector_ids, find_kind, requirements_by_detector
from AcuteFindingsLib.errors import ExportError, StudyError
from AcuteFindingsLib.export.dicom_results import SC, SEG, SR, require_dicom, write_dicom_results
from AcuteFindingsLib.jobs.detect import detect
from AcuteFindingsLib.jobs.preparation import Preparation
from AcuteFindingsLib.jobs.results_folder import RESULTS, results_folder, writing
from AcuteFindingsLib.jobs.write_results import StudyResult, picture_to_capture, write_results
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.study.choose import fitting
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.threads import give_back_memory

if TYPE_CHECKING:
    from AcuteFindingsLib.export.dicom_source import SourceInstances

DICOM_FOLDER = "dicom"


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for.

    Attributes
    ----------
    source
        File or folder of the study.
    detector
        Id of a detector, or ``"auto"``: the one that the study fits.
    model
        Id of a model package or a folder that holds one, a provider's id, or both joined by a plus sign; None for the
        detector's default.
    out
        Folder for the results; made where it does not exist.
    device
        One of `models.device.DEVICES`.
    series
        Series Instance UID of the series to read; None for the one that suits the detector best.
    force
        Run although the check refuses the study.
    calibration
        As `jobs.detect.detect` has it.
    model_folders
        Folders that hold the user's own model packages.
    dicom
        Also write the result as DICOM Segmentation and Structured Report.
    dicom_chart
        Also write the chart (of a radiograph the first picture) as DICOM Secondary Capture.
    dicom_where_possible
        As `dicom`, but of a study that cannot carry them, or without highdicom, the other results alone.
    hint
        What a refusal says of how to run it all the same.
    """

    source: Path
    out: Path
    detector: str = "auto"
    model: str | None = None
    device: str = "auto"
    series: str | None = None
    force: bool = False
    calibration: str | None = None
    model_folders: tuple[Path, ...] = ()
    dicom: bool = False
    dicom_chart: bool = False
    dicom_where_possible: bool = False
    hint: str = "(--force runs it anyway.)"


def run_study(
    request: StudyRequest,
    *,
    study: Study | None = None,
    load: Callable[..., Predictor] | None = None,
    also: Mapping[str, Callable[[StudyResult], Iterable[bytes]]] | None = None,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> StudyResult:
    """Read, check, detect, and write finding, scene, pictures and report below `request.out`.

    Parameters
    ----------
    request
        What the user asked for.
    study
        What `request.source` holds, where it was read already.
    load
        Turns packages into predictors, where networks are kept in memory from study to study.
    also
        Further files of the folder by name, with what makes their content in pieces; they come with the results or not
        at all.

    Raises
    ------
    StudyError
        The study cannot be read, the input holds several patients or studies, or no detector is made for it.
    StudyRefusedError
        The check refuses the study and `request.force` is not set.
    ModelError
        No model package fits, or it fails verification.
    CalibrationError
        As `jobs.detect.detect`.
    ExportError
        `request.out` cannot take the results (`results_folder`), or DICOM results are asked for of a study that cannot
        carry them.
    CancelledError
        `cancelled` answered True; nothing was written.
    """
    may_be_dicom = request.dicom or request.dicom_chart or request.dicom_where_possible
    _refuse_study_for_results(request)
    also = also or {}
    with results_folder(request.out, entries=(*RESULTS, *((DICOM_FOLDER,) if may_be_dicom else ()), *also)) as work:
        result = _run(request, work, study, load, progress, cancelled)
        for name, content in also.items():
            with writing(f"--out {request.out}"), (work / name).open("wb") as stream:
                stream.writelines(content(result))
    return result.moved(work, request.out)


def _run(
    request: StudyRequest,
    work: Path,
    study: Study | None,
    load: Callable[..., Predictor] | None,
    progress: Progress,
    cancelled: Cancelled,
) -> StudyResult:
    started = perf_counter()

    def at(text: str, fraction: float) -> None:
        stop_if(cancelled)
        progress(text, fraction)

    at("Reading the study", 0.0)
    wanted = None if request.detector == "auto" else request.detector
    # Whose study it is cannot be forced: of several patients a verdict would be taken for one on all.
    study = study or read_study(
        request.source,
        requirements=None if wanted is None else find_kind(wanted).requirements,
        series=request.series,
        one_examination=True,
        progress=part_of(at, 0.0, 0.15),
    )
    source = _dicom_source(request, study)
    wants_dicom = source is not None
    preparation = Preparation(dicom=wants_dicom)
    finding, loaded = detect(
        study,
        wanted or choose_detector(study),
        started=started,
        model=request.model,
        device=request.device,
        folders=request.model_folders,
        force=request.force,
        calibration=request.calibration,
        hint=request.hint,
        load=load,
        accepted=preparation.start,
        progress=part_of(progress, 0.15, 0.8),
        cancelled=cancelled,
    )
    preparation.wait()
    package, companions = loaded.package, tuple(loaded.companions.values())
    # The networks are done: without them the pictures of a head CT are drawn within 1 GB.
    del loaded
    give_back_memory()
    stop_if(cancelled)
    share = 0.95 if wants_dicom else 1.0
    with writing(f"--out {request.out}"):
        result = write_results(
            finding,
            study,
            work,
            package=package,
            companions=companions,
            progress=part_of(progress, 0.8, share),
        )
        if not wants_dicom:
            return result
        results = request.dicom or request.dicom_where_possible
        asked = ((SEG, results), (SR, results), (SC, request.dicom_chart))
        written = write_dicom_results(
            finding,
            study,
            work / DICOM_FOLDER,
            kinds=[kind for kind, wanted in asked if wanted],
            picture=picture_to_capture(result.pictures),
            source=source,
            progress=part_of(progress, share, 1.0),
        )
    return replace(result, dicom=written.files, remarks=(*result.remarks, *written.remarks))


def _dicom_source(request: StudyRequest, study: Study) -> "SourceInstances | None":
    """Return the headers that DICOM results are made with; None where none are wanted, or the study has none."""
    if request.dicom or request.dicom_chart:
        return require_dicom(study)
    if request.dicom_where_possible:
        with suppress(ExportError):
            return require_dicom(study)
    return None


def _refuse_study_for_results(request: StudyRequest) -> None:
    """Raise `ExportError` where results would lie among the images of the study and be read as part of it next time."""
    if request.source.is_dir() and request.source.resolve() == request.out.resolve():
        raise ExportError(
            f"--out {request.out} is the folder of the study itself; name another one for the results, for example "
            f"{request.out / 'acutefindings'}."
        )


def choose_detector(study: Study) -> str:
    """Return the only detector that fits; raises `StudyError` where none or several do."""
    fits = fitting(study, requirements_by_detector())
    if len(fits) == 1:
        return fits[0]
    found = f"it fits {' and '.join(fits)}" if fits else "it fits none of them"
    raise StudyError(
        f"{study.source_name}: the detector cannot be chosen from the study ({found}). "
        f"Name one with --detector {'|'.join(detector_ids())}."
    )
