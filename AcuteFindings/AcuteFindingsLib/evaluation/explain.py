"""Where a model looked, and what it draws by itself, for the images of a folder or the slices of a study."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.radiograph import unfit_shown
from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.detectors.scoring import Answer, Drawn, Looked, Prepared, Scorer, load_scorer
from AcuteFindingsLib.errors import EvaluationError, ModelError
from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_row, write_sheet
from AcuteFindingsLib.models.heat import scale_maps
from AcuteFindingsLib.models.predictor import computed_by
from AcuteFindingsLib.pages.page import picture_source, render, write_page
from AcuteFindingsLib.preprocessing.resample import resize_in_plane
from AcuteFindingsLib.preprocessing.square import Shown
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.reader import read_study

SHEET, REPORT = "contact-sheet.png", "explanation.html"

_BATCH = 8


@dataclass(frozen=True)
class ExplainRequest:
    """What the user asked for.

    Attributes
    ----------
    task
        One of `detectors.registry.explained_tasks`.
    files
        Images or studies.
    out
        Folder for the pictures and the report.
    label
        Name of the label; the model's first when None.
    count
        How many images at most, the most probable first.
    """

    task: str
    files: tuple[Path, ...]
    out: Path
    label: str | None = None
    count: int = 24
    model: str | None = None
    device: str = "auto"
    model_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ExplainResult:
    """What was written; `way` says how it was found where the model looked, `computed` what computed it, and where."""

    sheet: Path
    report: Path
    pictures: tuple[Path, ...]
    label: str
    images: int
    shown: int
    way: str
    computed: str
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Seen:
    """One image as the network was shown it.

    Attributes
    ----------
    name
        File, and the slice where a file holds several.
    batch
        ``(c, y, x)`` float32 for the network.
    picture
        ``(y, x)`` in 0..1 for a person.
    probability
        Of the label, as the detector gives it.
    shown
        What of the picture the network was shown; None where its image is the picture itself.
    looked
        Where the model looked for the label, of this image alone, if the pass that answered gave it.
    drawn
        What the model draws, ``(y, x)`` each.
    """

    name: str
    batch: np.ndarray
    picture: np.ndarray
    probability: float
    shown: Shown | None
    looked: Looked | None
    drawn: Drawn

    def on_picture(self, square: np.ndarray) -> np.ndarray:
        """Bring a map of what the network was shown, of any size, onto the picture."""
        size = self.batch.shape[-2], self.batch.shape[-1]
        if square.shape != size:
            square = np.clip(resize_in_plane(square[None], size)[0], 0, 1)
        return square if self.shown is None else unfit_shown(square, self.picture.shape, self.shown)


@dataclass(frozen=True)
class Evidence:
    """What is shown beside a picture, each ``(y, x)`` on it.

    Attributes
    ----------
    heat
        Where the model looked: 0..1, as high as the image's probability.
    mask, attention
        What it outlines (bool), and its attention in 0..1; None where it has none.
    """

    heat: np.ndarray
    mask: np.ndarray | None = None
    attention: np.ndarray | None = None


@dataclass
class _Best:
    """The most probable images so far; the rest is let go."""

    count: int
    kept: list[Seen] = field(default_factory=list)
    total: int = 0

    def add(self, name: str, prepared: Prepared, answer: Answer, index: int) -> None:
        count, probabilities = len(prepared), answer.images[:, index]
        self.total += count
        # Only what may be shown is prepared a second time: the images of a whole study would fill the memory.
        for number in map(int, np.argsort(-probabilities, kind="stable")[: self.count]):
            image = prepared[number : number + 1][0]
            told = name if count == 1 else f"{name}, slice {number + 1} of {count} from below"
            picture, shown = prepared.picture(number, image), prepared.shown(number)
            # Copies, so that a series is let go.
            looked = answer.looked and replace(
                answer.looked, maps=answer.looked.maps[number : number + 1, index : index + 1].copy()
            )
            drawn = replace(
                answer.drawn,
                mask=None if answer.drawn.mask is None else answer.drawn.mask[number].copy(),
                attention=None if answer.drawn.attention is None else answer.drawn.attention[number].copy(),
            )
            self.kept.append(Seen(told, image, picture, float(probabilities[number]), shown, looked, drawn))
        self.kept = sorted(self.kept, key=lambda seen: -seen.probability)[: self.count]


def explain_images(
    request: ExplainRequest, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
) -> ExplainResult:
    """Write a contact sheet, a picture an image and a report below `request.out`.

    Raises
    ------
    StudyError
        An image or study cannot be read.
    ModelError
        The package is missing, damaged or does not fit.
    EvaluationError
        The model has no such label, or the label is not one of single images.
    CancelledError
        `cancelled` answered True; nothing was written.
    """
    scorer: Scorer = load_scorer(
        request.task, model=request.model, device=request.device, folders=request.model_folders
    )
    card = scorer.predictor.card
    index = _label(scorer, request)
    best = _Best(request.count)
    requirements = kind_of_task(request.task).requirements
    for part in batches(
        len(request.files), 1, text="Reading images", progress=progress, cancelled=cancelled, span=(0.0, 0.5)
    ):
        file = request.files[part.start]
        study = read_study(file, requirements=requirements, one_examination=True)
        try:
            prepared = scorer.prepare(study)
            best.add(_name_of(file), prepared, scorer.infer(prepared, explain=True, cancelled=cancelled), index)
        except (KeyError, ValueError) as error:
            raise ModelError(f"The model package {card.id} does not fit {request.task}: {error}") from error
    way = scorer.predictor.explanation
    shown: list[Evidence] = []
    for part in batches(len(best.kept), _BATCH, text=way, progress=progress, cancelled=cancelled, span=(0.5, 0.8)):
        shown.extend(_evidence(scorer, best.kept[part], index))
    stop_if(cancelled)
    progress("Drawing", 0.8)
    meanings = {label.name: label.meaning for label in card.labels}
    return _write(request, scorer, meanings[scorer.labels[index]], best, shown)


def _label(scorer: Scorer, request: ExplainRequest) -> int:
    if request.label is None:
        return 0
    if request.label not in scorer.labels:
        raise EvaluationError(
            f"--label {request.label}: the model {scorer.predictor.card.id} explains {', '.join(scorer.labels)} of "
            "single images."
        )
    return scorer.labels.index(request.label)


def _evidence(scorer: Scorer, seen: Sequence[Seen], index: int) -> list[Evidence]:
    size = seen[0].batch.shape[-2], seen[0].batch.shape[-1]
    # What costs many passes is done for these images alone.
    later = [number for number, one in enumerate(seen) if one.looked is None]
    explained = scorer.explain(np.stack([seen[number].batch for number in later]), index) if later else ()
    found = dict(zip(later, explained, strict=True))
    shown = []
    for number, one in enumerate(seen):
        # The probability is the one that the whole series gave: an image by itself may have another.
        probability = np.array([one.probability])
        if one.looked is None:
            heat = scale_maps(found[number][None], probability, size)[0]
        else:
            heat = one.looked.heat([0], 0, size, probability)[0]
        mask, attention = one.drawn.mask, one.drawn.attention
        shown.append(
            Evidence(
                one.on_picture(heat),
                None if mask is None else one.on_picture(mask) >= one.drawn.threshold,
                None if attention is None else one.on_picture(attention),
            )
        )
    return shown


def _name_of(file: Path) -> str:
    return file.name or file.resolve().name


def _panels(seen: Seen, evidence: Evidence, way: str, label: str) -> list[Panel]:
    panels = [
        Panel(seen.picture, title=f"{seen.name}\n{label} {seen.probability:.2f}"),
        Panel(seen.picture, title=way, heat=np.clip(evidence.heat, 0, 1)),
    ]
    if evidence.mask is not None:
        words = "Attention, outline of the mask" if evidence.attention is not None else "Outline of the mask"
        panels.append(Panel(seen.picture, title=words, heat=evidence.attention, outline=evidence.mask))
    return panels


def _write(
    request: ExplainRequest, scorer: Scorer, label: str, best: _Best, shown: Sequence[Evidence]
) -> ExplainResult:
    pictures, cells, predictor = [], [], scorer.predictor
    for number, (seen, evidence) in enumerate(zip(best.kept, shown, strict=True), 1):
        panels = _panels(seen, evidence, predictor.explanation, label)
        pictures.append(write_row(panels, request.out / "pictures" / f"{number:03d}.png"))
        cells.append(Panel(seen.picture, title=panels[0].title, heat=panels[1].heat, outline=evidence.mask))
    sheet = write_sheet(cells, request.out / SHEET)
    page = render(
        "explanation.html.jinja",
        label=label,
        way=predictor.explanation,
        card=predictor.card,
        version=predictor.version,
        computed=computed_by(predictor),
        sha256=predictor.sha256,
        total=best.total,
        drawn=any(seen.looked is not None and seen.looked.drawn for seen in best.kept),
        has_masks=any(evidence.mask is not None for evidence in shown),
        has_attention=any(evidence.attention is not None for evidence in shown),
        pictures=[
            {"source": picture_source(path), "caption": f"{seen.name}: {label} {seen.probability:.2f}"}
            for path, seen in zip(pictures, best.kept, strict=True)
        ],
    )
    report = write_page(page, request.out / REPORT)
    return ExplainResult(
        sheet,
        report,
        tuple(pictures),
        label,
        best.total,
        len(best.kept),
        predictor.explanation,
        computed_by(predictor),
        predictor.notices,
    )
