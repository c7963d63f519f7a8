"""Where a model looked: Grad-CAM and masks for the images of a folder or the slices of a study."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from pydantic import ValidationError
from scipy.special import expit

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.pe.detector import PEDetector, chest_slices
from AcuteFindingsLib.detectors.pneumothorax.detector import outlines
from AcuteFindingsLib.detectors.radiograph import (
    chest_probabilities,
    lung_masks,
    network_images,
    radiograph_settings,
    shown_box,
    unfit_shown,
)
from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.detectors.single_image import lungs_for
from AcuteFindingsLib.errors import EvaluationError, ModelError
from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_row, write_sheet
from AcuteFindingsLib.evaluation.gradcam import evidence, gradcam_maps
from AcuteFindingsLib.models.find import default_package, find_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.pages.page import picture_source, render, write_page
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress, stop_if
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

SHEET, REPORT = "contact-sheet.png", "explanation.html"

_BATCH = 8
_ATTENTION = "attention_"


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
    """What was written."""

    sheet: Path
    report: Path
    pictures: tuple[Path, ...]
    label: str
    images: int
    shown: int


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
    mask, soft
        ``(y, x)``: what the model outlines (bool), and its attention in 0..1; None where it has none.
    box
        What of a radiograph the network was shown, as a square; None where its picture is `picture` itself.
    """

    name: str
    batch: np.ndarray
    picture: np.ndarray
    probability: float
    mask: np.ndarray | None = None
    soft: np.ndarray | None = None
    box: tuple[slice, slice] | None = None


Reader = Callable[[TorchPredictor, Study, str, int], Iterator[Seen]]


@dataclass
class _Best:
    """The most probable images so far; the rest is let go."""

    count: int
    kept: list[Seen] = field(default_factory=list)
    total: int = 0

    def add(self, seen: Seen) -> None:
        self.total += 1
        self.kept.append(seen)
        if len(self.kept) > 2 * self.count:
            self._cut()

    def best(self) -> list[Seen]:
        self._cut()
        return self.kept

    def _cut(self) -> None:
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
    task = cast(Task, request.task)
    folders = request.model_folders
    package = (
        find_package(request.model, task=task, folders=folders)
        if request.model
        else default_package(task, folders=folders)
    )
    predictor = load_predictor(package, device=request.device)
    if not isinstance(predictor, TorchPredictor):
        raise EvaluationError(
            f"The model {package.id} is a stored program without layers to look into; Grad-CAM needs a network that "
            "this library builds."
        )
    index = _label(predictor, request)
    meaning = predictor.card.labels[index].meaning
    best = _Best(request.count)
    for part in batches(
        len(request.files), 1, text="Reading images", progress=progress, cancelled=cancelled, span=(0.0, 0.5)
    ):
        file = request.files[part.start]
        study = read_study(file, requirements=kind_of_task(request.task).requirements, one_examination=True)
        try:
            for seen in _READERS[request.task](predictor, study, _name_of(file), index):
                stop_if(cancelled)
                best.add(seen)
        except (ValidationError, KeyError, ValueError) as error:
            raise ModelError(f"The model package {package.id} does not fit {request.task}: {error}") from error
    chosen = best.best()
    maps: list[np.ndarray] = []
    for part in batches(len(chosen), _BATCH, text="Grad-CAM", progress=progress, cancelled=cancelled, span=(0.5, 0.8)):
        items = chosen[part]
        raw = gradcam_maps(predictor.network, np.stack([seen.batch for seen in items]), index=index)
        maps.extend(evidence(raw, np.array([seen.probability for seen in items])))
    stop_if(cancelled)
    progress("Drawing", 0.8)
    return _write(request, package, meaning, chosen, maps, best.total)


def _label(predictor: TorchPredictor, request: ExplainRequest) -> int:
    names = [item.name for item in predictor.card.labels]
    explained = names[:1] if request.task in ("pe", "pneumothorax") else names
    if request.label is None:
        return 0
    if request.label not in explained:
        raise EvaluationError(
            f"--label {request.label}: the model {predictor.card.id} explains {', '.join(explained)} of single images."
        )
    return names.index(request.label)


def _name_of(file: Path) -> str:
    return file.name or file.resolve().name


def _hemorrhage(predictor: TorchPredictor, study: Study, name: str, index: int) -> Iterator[Seen]:
    settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
    threshold = predictor.card.threshold("mask", predictor.card.labels[0].name)
    images = head_images(study, settings).images
    features, masks, attentions = [], [], []
    for start in range(0, len(images), settings.batch):
        outputs = predictor.predict(images[start : start + settings.batch, None], part="features")
        features.append(outputs["features"])
        drawn = [outputs[key][:, 0] for key in outputs if key.startswith(_ATTENTION)]
        masks.append(expit(outputs["mask"][:, 0]) if "mask" in outputs else np.zeros_like(images[: len(features[-1])]))
        attentions.append(expit(np.mean(drawn, axis=0)) if drawn else masks[-1])
    logits = predictor.predict(np.concatenate(features)[None], part="head")["slice"][0, :, index]
    soft, attention = np.concatenate(masks), np.concatenate(attentions)
    for number, image in enumerate(images):
        yield Seen(
            name=name if len(images) == 1 else f"{name}, slice {number + 1} of {len(images)} from below",
            batch=image[None],
            picture=image,
            probability=float(expit(logits[number])),
            mask=soft[number] >= threshold,
            soft=attention[number],
        )


def _pe(predictor: TorchPredictor, study: Study, name: str, _index: int) -> Iterator[Seen]:
    detector = PEDetector(predictor)
    prepared = chest_slices(study, detector.settings)
    step, count = detector.settings.batch, len(prepared.plan)
    encodings, softs = [], []
    for start in range(0, count, step):
        outputs = predictor.predict(prepared.read(slice(start, min(start + step, count))), part="encode")
        encodings.append(outputs["encoding"])
        if "mask" in outputs:
            softs.append(expit(outputs["mask"][:, 0]))
    probabilities = detector.sequence(np.concatenate(encodings)).slices
    soft = np.concatenate(softs) if softs else None
    # Only what may be shown is prepared a second time: the images of a whole study would fill the memory.
    for number in np.argsort(-probabilities)[:_MOST_SLICES]:
        image = prepared.read(slice(int(number), int(number) + 1))[0]
        picture = (image[len(image) // 2] + 1) / 2
        shown = None if soft is None else _stretched(soft[number], picture.shape)
        yield Seen(
            name=f"{name}, slice {number + 1} of {count} from below",
            batch=image,
            picture=picture,
            probability=float(probabilities[number]),
            mask=None if shown is None else shown >= 0.5,
            soft=shown,
        )


def _chest(predictor: TorchPredictor, study: Study, name: str, index: int) -> Iterator[Seen]:
    picture = _radiograph(study)
    lungs = _lungs(picture, predictor)
    yield Seen(
        name=name,
        batch=network_images([picture], radiograph_settings(predictor), lungs)[0],
        picture=picture,
        probability=float(chest_probabilities([picture], predictor, lungs)[0, index]),
        box=_box(picture, predictor, lungs),
    )


def _pneumothorax(predictor: TorchPredictor, study: Study, name: str, _index: int) -> Iterator[Seen]:
    picture = _radiograph(study)
    lungs = _lungs(picture, predictor)
    outline = outlines([picture], predictor, lungs)[0]
    yield Seen(
        name=name,
        batch=network_images([picture], radiograph_settings(predictor), lungs)[0],
        picture=picture,
        probability=outline.probability,
        mask=outline.mask,
        box=_box(picture, predictor, lungs),
    )


def _lungs(picture: np.ndarray, predictor: TorchPredictor) -> list[np.ndarray] | None:
    model = _lungs_model(predictor)
    return None if model is None else lung_masks([picture], model)


@lru_cache(maxsize=1)
def _lungs_model(predictor: TorchPredictor) -> Predictor | None:
    return lungs_for(predictor)


def _box(picture: np.ndarray, predictor: Predictor, lungs: list[np.ndarray] | None) -> tuple[slice, slice]:
    return shown_box(picture.shape, radiograph_settings(predictor), lungs[0] if lungs else None)


_READERS: dict[str, Reader] = {"hemorrhage": _hemorrhage, "pe": _pe, "chest": _chest, "pneumothorax": _pneumothorax}
_MOST_SLICES = 200


def _radiograph(study: Study) -> np.ndarray:
    if len(study.array) != 1 or study.intensity != "unit":
        raise EvaluationError(f"{study.source_name} is no radiograph; this model reads single chest radiographs.")
    return study.array[0]


def _stretched(soft: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from scipy.ndimage import zoom

    return np.clip(zoom(soft, [to / own for to, own in zip(shape, soft.shape, strict=True)], order=1), 0, 1)


def _panels(seen: Seen, heat: np.ndarray, label: str) -> list[Panel]:
    over = heat if seen.box is None else unfit_shown(heat, seen.picture.shape, seen.box)
    panels = [
        Panel(seen.picture, title=f"{seen.name}\n{label} {seen.probability:.2f}"),
        Panel(seen.picture, title="Grad-CAM", heat=np.clip(over, 0, 1)),
    ]
    if seen.mask is not None:
        words = "Attention, outline of the mask" if seen.soft is not None else "Outline of the mask"
        panels.append(Panel(seen.picture, title=words, heat=seen.soft, outline=seen.mask))
    return panels


def _write(
    request: ExplainRequest,
    package: ModelPackage,
    label: str,
    chosen: Sequence[Seen],
    maps: Sequence[np.ndarray],
    total: int,
) -> ExplainResult:
    pictures, cells = [], []
    for number, (seen, heat) in enumerate(zip(chosen, maps, strict=True), 1):
        panels = _panels(seen, heat, label)
        pictures.append(write_row(panels, request.out / "pictures" / f"{number:03d}.png"))
        cells.append(
            Panel(
                seen.picture,
                title=f"{seen.name}\n{label} {seen.probability:.2f}",
                heat=panels[1].heat,
                outline=seen.mask,
            )
        )
    sheet = write_sheet(cells, request.out / SHEET)
    page = render(
        "explanation.html.jinja",
        label=label,
        package=package,
        total=total,
        has_masks=any(seen.mask is not None for seen in chosen),
        has_attention=any(seen.soft is not None for seen in chosen),
        pictures=[
            {"source": picture_source(path), "caption": f"{seen.name}: {label} {seen.probability:.2f}"}
            for path, seen in zip(pictures, chosen, strict=True)
        ],
    )
    report = write_page(page, request.out / REPORT)
    return ExplainResult(sheet, report, tuple(pictures), label, total, len(chosen))
