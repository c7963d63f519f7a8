"""Many single images scored in batches: one row of probabilities an image, masks as PNG where the model draws them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.csv_text import CsvWriter
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.detectors.scoring import ImageScorer
from AcuteFindingsLib.errors import CancelledError, EvaluationError, ExportError, StudyError
from AcuteFindingsLib.evaluation.table_files import open_table
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.jobs.image_files import in_table, listed_images, result_names
from AcuteFindingsLib.jobs.results_folder import results_folder
from AcuteFindingsLib.last_resort import out_of_memory, sentence
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.predictor import computed_by
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.providers.load import load_any_image_scorer
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.evidence import stated_parts
from AcuteFindingsLib.study.itk_files import write_image
from AcuteFindingsLib.study.notice import Notice, refusals
from AcuteFindingsLib.study.plausibility import NOISE
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

TABLE, NOT_SCORED, ABOUT = "predictions.csv", "not-scored.csv", "predict.json"
_UID_COLUMN = "sop_instance_uid"

_BATCH = 16


@dataclass(frozen=True)
class ImagesRequest:
    """What the user asked for.

    Attributes
    ----------
    task
        One of `detectors.registry.image_tasks`.
    images
        Folder that holds the images.
    out
        A ``.csv`` file for the table alone, else a folder for ``predictions.csv`` and, where the model draws masks,
        one PNG named as the image.
    listing
        Table that names the images to score in a column such as ``image``; None for all images below the folder.
    """

    task: Task
    images: Path
    out: Path
    listing: Path | None = None
    model: str | None = None
    device: str = "auto"
    model_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImagesResult:
    """Where the table is and what it holds.

    Attributes
    ----------
    table
        None where the model gives masks only.
    count
        Images that were scored.
    failed
        Name and reason of each image that could not be, and `failed_table` where they are listed.
    doubted
        Name of each image that was scored although it looks damaged, and why.
    computed, notices
        What computed them, and where; and what went wrong there.
    """

    table: Path | None
    masks: tuple[Path, ...]
    count: int
    failed: tuple[tuple[str, str], ...] = ()
    failed_table: Path | None = None
    doubted: tuple[tuple[str, str], ...] = ()
    computed: str = ""
    notices: tuple[Notice, ...] = ()


@dataclass
class _Scored:
    """What came so far; `names` and `rows` of the images that were scored."""

    names: list[Path] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    doubted: list[tuple[str, str]] = field(default_factory=list)


def predict_images(
    request: ImagesRequest, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> ImagesResult:
    """Score every image; one that cannot be read or scored is left out of the table and told of.

    Raises
    ------
    StudyError
        No images, a listed image that is not there, or none that could be scored.
    ExportError
        Masks were asked for into a single file or into the folder of the images, or a file that is not ours is in the
        way.
    CancelledError
        `cancelled` answered True; nothing was written.
    """
    to_file = request.out.suffix.lower() == ".csv"
    _check_out(request, to_file=to_file)
    files = listed_images(request.images, request.listing, but=None if to_file else request.out)
    scorer = load_any_image_scorer(
        request.task, model=request.model, device=request.device, folders=request.model_folders, progress=progress
    )
    names = [file.relative_to(request.images) for file in files]
    targets = result_names(names)
    draws = find_task(request.task).image_masks and not to_file
    if to_file:
        _refuse_other_table(request.out, ("image", *scorer.labels), request.listing)
    with _target(request.out, targets if draws else (), to_file=to_file) as table:
        scored, masks = _Scored(), table.parent if draws else None
        for part in batches(
            len(files), _BATCH, text="Scoring images", progress=progress, cancelled=cancelled, span=(0.0, 1.0)
        ):
            _score(scorer, request.task, files[part], names[part], targets[part], scored, masks)
        if not scored.names:
            name, reason = scored.failed[0]
            raise StudyError(f"None of {counted(len(files), 'image')} could be scored. {name}: {reason}")
        if scorer.labels:
            _write_table(table, scored, scorer.labels)
        if not to_file:
            about = {"format": 1, "task": request.task, "segment": request.task if draws else None}
            table.with_name(ABOUT).write_text(json.dumps(about), encoding="utf-8")
            if scored.failed:
                _write_rows(table.with_name(NOT_SCORED), ("image", "reason"), scored.failed)
    written = request.out if to_file else request.out / TABLE
    return ImagesResult(
        written if scorer.labels else None,
        tuple(request.out / mask for mask in scored.masks),
        len(scored.names),
        tuple(scored.failed),
        request.out / NOT_SCORED if scored.failed and not to_file else None,
        tuple(scored.doubted),
        computed_by(scorer.predictor),
        scorer.predictor.notices,
    )


def _score(
    scorer: ImageScorer,
    task: Task,
    files: Sequence[Path],
    names: Sequence[Path],
    targets: Sequence[Path],
    scored: _Scored,
    masks: Path | None,
) -> None:
    """Score one batch; where it fails as a whole, each of its images alone."""
    studies: list[tuple[Study, Path, Path]] = []
    for file, name, target in zip(files, names, targets, strict=True):
        try:
            study, doubts = _read(file, task)
            studies.append((study, name, target))
            scored.doubted += [(in_table(name), doubt) for doubt in doubts]
        except Exception as error:  # one bad file never ends the others
            _note(scored, name, error)
    if not studies:
        return
    try:
        _keep(scorer, studies, scored, masks)
    except Exception as error:  # which image it was shows when each is asked alone
        _stop_for(error)
        if len(studies) == 1:
            _note(scored, studies[0][1], error)
            return
        for one in studies:
            try:
                _keep(scorer, [one], scored, masks)
            except Exception as its_own:
                _note(scored, one[1], its_own)


def _read(file: Path, task: Task) -> tuple[Study, list[str]]:
    """Read an image and what speaks against its pixels.

    One that `run` would refuse for what it is (another modality, part or view, a mask) gets no score. The body part of
    a CT slice is judged where its header names one: a vertex or the skull's base shows no brain. Noise is scored and
    told of: tables of images hold what experiments put into them.
    """
    doubts: list[str] = []
    requirements = kind_of_task(task).requirements
    study = read_study(file, requirements=requirements, one_examination=True)
    refused = refusals(study.notices)
    if not refused and len(study.array) == 1:
        untold = study.intensity != "unit" and not stated_parts(study.dicom)
        refused = [
            notice
            for notice in refusals(check_study(study, requirements))
            if not (untold and notice.code == "wrong-body-part")
        ]
        doubts = [notice.text for notice in refused if notice.code == NOISE]
        refused = [notice for notice in refused if notice.code != NOISE]
    if refused:
        raise StudyError(refused[0].text)
    return study, doubts


def _keep(
    scorer: ImageScorer, studies: Sequence[tuple[Study, Path, Path]], scored: _Scored, masks: Path | None
) -> None:
    scores = scorer.score([study for study, _, _ in studies])
    if scores.masks is not None and masks is not None:
        for (_, _, target), mask in zip(studies, scores.masks, strict=True):
            (masks / target).parent.mkdir(parents=True, exist_ok=True)
            write_image(sitk.GetImageFromArray(mask.astype(np.uint8) * 255), masks / target)
            scored.masks.append(target)
    scored.rows.extend(scores.probabilities)
    scored.names.extend(name for _, name, _ in studies)
    scored.uids.extend(study.sources[0].sop_instance_uid if study.sources else "" for study, _, _ in studies)


def _note(scored: _Scored, name: Path, error: Exception) -> None:
    _stop_for(error)
    scored.failed.append((in_table(name), " ".join(sentence(error).split())))


def _stop_for(error: Exception) -> None:
    """Raise what is no fault of an image: a request to stop, full memory, a result that cannot be written."""
    if isinstance(error, CancelledError | ExportError) or out_of_memory(error):
        raise error


def _check_out(request: ImagesRequest, *, to_file: bool) -> None:
    if to_file:
        if not find_task(request.task).probabilities:
            raise ExportError(f"--out {request.out}: the {request.task} model gives masks, not a table; name a folder.")
        return
    if request.out.is_file():
        raise ExportError(f"--out {request.out} is a file; name a folder, or a file that ends in .csv.")
    if find_task(request.task).image_masks and request.out.resolve() == request.images.resolve():
        raise ExportError(f"--out {request.out} is the folder of the images, which masks would overwrite.")


def _refuse_other_table(target: Path, header: Sequence[str], listing: Path | None) -> None:
    """Refuse to overwrite what is no table of such predictions, such as the truth or the list itself."""
    if not target.exists():
        return
    try:
        own = target.is_file() and next(open_table(target).rows(), [])[: len(header)] == list(header)
    except EvaluationError:
        own = False
    if not own or (listing is not None and listing.resolve() == target.resolve()):
        raise ExportError(f"--out {target} exists and is not a table of these predictions; name another file.")


@contextmanager
def _target(out: Path, targets: Sequence[Path], *, to_file: bool) -> Iterator[Path]:
    """Yield the table to write, in a folder for the masks and the rest; all of it takes its place when all is well."""
    if to_file:
        with replace_when_written(out) as partial:
            yield partial
        return
    tops = sorted({target.parts[0] for target in targets})
    with results_folder(out, entries=(TABLE, ABOUT, NOT_SCORED, *tops)) as folder:
        yield folder / TABLE


def _write_table(target: Path, scored: _Scored, labels: Sequence[str]) -> None:
    """Write the table; of DICOM images also the SOP Instance UID, by which a truth may name them."""
    uids = any(scored.uids)
    rows = (
        (in_table(name), *(f"{value:.6f}" for value in row), *([uid] if uids else []))
        for name, row, uid in zip(scored.names, scored.rows, scored.uids, strict=True)
    )
    _write_rows(target, ("image", *labels, *([_UID_COLUMN] if uids else [])), rows)


def _write_rows(target: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = CsvWriter(stream)
        writer.writerow(header)
        writer.writerows(rows)
