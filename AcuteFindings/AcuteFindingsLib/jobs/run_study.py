"""One study from its files to a verdict with evidence: the main job, run in-process by the command line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.load import LoadedDetector
from AcuteFindingsLib.errors import ExportError, SceneError, StudyError, StudyRefusedError
from AcuteFindingsLib.export.dicom_results import SC, SEG, SR, CapturedPicture, require_dicom, write_dicom_results
from AcuteFindingsLib.export.report import write_report
from AcuteFindingsLib.jobs.results_folder import RESULTS, results_folder, writing
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, part_of, stop_if
from AcuteFindingsLib.providers.load import load_any_detector
from AcuteFindingsLib.scene.pictures import Picture, draw_pictures
from AcuteFindingsLib.study.choose import fitting_detectors
from AcuteFindingsLib.study.notice import Notice, merge_notices, refusals
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

DETECTORS = ("pe", "hemorrhage", "pneumothorax")

DICOM_FOLDER = "dicom"


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for.

    Attributes
    ----------
    source
        File or folder of the study.
    detector
        One of `DETECTORS`, or ``"auto"``: the one that the study fits.
    model
        Id of a model package or a folder that holds one, a provider's id, or both joined by a plus sign; None for the
        detector's default.
    out
        Folder for the results; made where it does not exist.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    series
        Series Instance UID of the series to read; None for the one that suits the detector best.
    force
        Run although the check refuses the study.
    model_folders
        Folders that hold the user's own model packages.
    dicom
        Also write the result as DICOM Segmentation and Structured Report.
    dicom_chart
        Also write the chart (of a radiograph the first picture) as DICOM Secondary Capture.
    """

    source: Path
    out: Path
    detector: str = "auto"
    model: str | None = None
    device: str = "auto"
    series: str | None = None
    force: bool = False
    model_folders: tuple[Path, ...] = ()
    dicom: bool = False
    dicom_chart: bool = False


@dataclass(frozen=True)
class StudyResult:
    """What a run left behind. `remarks` are one-line explanations of what was done differently and why."""

    finding: Finding
    finding_file: Path
    report: Path
    pictures: tuple[Picture, ...]
    scene: Path | None
    remarks: tuple[str, ...] = field(default=())
    dicom: tuple[Path, ...] = ()


def run_study(
    request: StudyRequest, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> StudyResult:
    """Read, check, detect, and write finding, scene, pictures and report below `request.out`.

    Raises
    ------
    StudyError
        The study cannot be read, the input holds several patients or studies, or no detector is made for it.
    StudyRefusedError
        The check refuses the study and `request.force` is not set.
    ModelError
        No model package fits, or it fails verification.
    ExportError
        `request.out` cannot take the results (`results_folder`), or DICOM results are asked for of a study that cannot
        carry them.
    CancelledError
        `cancelled` answered True; nothing was written.
    """
    wants_dicom = request.dicom or request.dicom_chart
    _refuse_study_for_results(request)
    with results_folder(request.out, entries=(*RESULTS, *((DICOM_FOLDER,) if wants_dicom else ()))) as work:
        result = _run(request, work, progress, cancelled)
    return _moved(result, work, request.out)


def _run(request: StudyRequest, work: Path, progress: Progress, cancelled: Cancelled) -> StudyResult:
    started = perf_counter()

    def reading_progress(text: str, fraction: float) -> None:
        stop_if(cancelled)
        progress(text, 0.15 * fraction)

    reading_progress("Reading the study", 0.0)
    wanted = None if request.detector == "auto" else request.detector
    # Whose study it is cannot be forced: of several patients a verdict would be taken for one on all.
    study = read_study(
        request.source, detector=wanted, series=request.series, one_examination=True, progress=reading_progress
    )
    if request.dicom or request.dicom_chart:
        require_dicom(study)
    name = wanted or choose_detector(study)
    reading = perf_counter() - started
    stop_if(cancelled)

    progress("Checking and loading the model", 0.15)
    notices = check_or_refuse(study, name, force=request.force)
    loaded = load_any_detector(
        name,
        model=request.model,
        device=request.device,
        folders=request.model_folders,
        progress=part_of(progress, 0.15, 0.2),
        cancelled=cancelled,
    )
    stop_if(cancelled)

    finding = loaded.detector.run(study, progress=part_of(progress, 0.2, 0.8), cancelled=cancelled)
    finding = replace(
        finding,
        model=replace(finding.model, chosen=loaded.why),
        warnings=merge_notices(notices, finding.warnings),
        timings={"read": reading, **finding.timings, "total": perf_counter() - started},
    )
    stop_if(cancelled)
    wants_dicom = request.dicom or request.dicom_chart
    share = 0.95 if wants_dicom else 1.0
    with writing(f"--out {request.out}"):
        result = write_results(finding, study, loaded, work, progress=part_of(progress, 0.8, share))
        if not wants_dicom:
            return result
        asked = ((SEG, request.dicom), (SR, request.dicom), (SC, request.dicom_chart))
        written = write_dicom_results(
            finding,
            study,
            work / DICOM_FOLDER,
            kinds=[kind for kind, wanted in asked if wanted],
            picture=picture_to_capture(result.pictures),
            progress=part_of(progress, share, 1.0),
        )
    return replace(result, dicom=written.files, remarks=(*result.remarks, *written.remarks))


def picture_to_capture(pictures: Sequence[Picture]) -> CapturedPicture | None:
    """Return the chart, of a radiograph the first picture; None without any."""
    charts = [picture for picture in pictures if picture.kind == "chart"]
    chosen = next(iter([*charts, *pictures]), None)
    return None if chosen is None else CapturedPicture(chosen.path, chosen.caption)


def _refuse_study_for_results(request: StudyRequest) -> None:
    """Raise `ExportError` where results would lie among the images of the study and be read as part of it next time."""
    if request.source.is_dir() and request.source.resolve() == request.out.resolve():
        raise ExportError(
            f"--out {request.out} is the folder of the study itself; name another one for the results, for example "
            f"{request.out / 'acutefindings'}."
        )


def _moved(result: StudyResult, work: Path, out: Path) -> StudyResult:
    """Return a result with its files where they are now."""

    def at(path: Path) -> Path:
        return out / path.relative_to(work)

    return replace(
        result,
        finding_file=at(result.finding_file),
        report=at(result.report),
        pictures=tuple(replace(picture, path=at(picture.path)) for picture in result.pictures),
        scene=None if result.scene is None else at(result.scene),
        dicom=tuple(map(at, result.dicom)),
    )


def choose_detector(study: Study) -> str:
    """Return the only detector that fits; raises `StudyError` where none or several do."""
    fitting = fitting_detectors(study)
    if len(fitting) == 1:
        return fitting[0]
    found = f"it fits {' and '.join(fitting)}" if fitting else "it fits none of them"
    raise StudyError(
        f"{study.source_name}: the detector cannot be chosen from the study ({found}). "
        f"Name one with --detector {'|'.join(DETECTORS)}."
    )


def check_or_refuse(study: Study, detector: str, *, force: bool) -> tuple[Notice, ...]:
    """Return what the check says; raises `StudyRefusedError` where it refuses and `force` is False."""
    from AcuteFindingsLib.study.checks import check_study

    notices = check_study(study, detector)
    against = refusals(notices)
    if against and not force:
        reasons = " ".join(f"[{notice.code}] {notice.text}" for notice in against)
        raise StudyRefusedError(
            f"{study.source_name} does not fit the {detector} detector: {reasons} (--force runs it anyway.)"
        )
    return notices


def write_results(
    finding: Finding, study: Study, loaded: LoadedDetector, out: Path, *, progress: Progress = no_progress
) -> StudyResult:
    """Write finding, masks, scene, pictures and report of one run below `out`, an empty folder."""
    remarks: list[str] = []
    progress("Writing the finding", 0.0)
    finding_file = finding.save(out)
    progress("Drawing the pictures", 0.2)
    scene_file, pictures = _scene_and_pictures(finding, study, out, remarks.append)
    progress("Writing the report", 0.9)
    report = write_report(
        finding,
        study=study,
        package=loaded.package,
        companions=tuple(loaded.companions.values()),
        pictures=pictures,
        folder=out,
    )
    progress("Done", 1.0)
    return StudyResult(finding, finding_file, report, pictures, scene_file, tuple(remarks))


def _scene_and_pictures(
    finding: Finding, study: Study, out: Path, remark: Callable[[str], None]
) -> tuple[Path | None, tuple[Picture, ...]]:
    try:
        from AcuteFindingsLib.scene.bundle import write_scene

        scene_file, nodes = write_scene(finding, study, out / "scene.mrb")
    except SceneError as error:
        remark(f"No scene was written: {error}")
        scene_file, nodes = None, None
    pictures, reason = draw_pictures(finding, study, nodes, out / "pictures")
    if reason:
        remark(reason)
    return scene_file, pictures
