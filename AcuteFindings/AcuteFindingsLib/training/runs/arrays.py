"""One series or image of a data set as the arrays a network is trained on, through the detectors' own preprocessing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images, shown_box, to_square
from AcuteFindingsLib.detectors.radiograph_scorers import LungsScorer
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.models.find import default_package, find_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.networks.pe import EXAM_LABELS
from AcuteFindingsLib.preprocessing.lungs_heart import lungs_heart_mask
from AcuteFindingsLib.preprocessing.orient import Axial
from AcuteFindingsLib.preprocessing.pe_input import prepare_pe_slices
from AcuteFindingsLib.preprocessing.resample import fit_in_plane, resize_in_plane
from AcuteFindingsLib.study.images import is_picture
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.data.load import LoadedStudy, load_image, load_mask, load_study
from AcuteFindingsLib.training.data.table import Example
from AcuteFindingsLib.training.recipes.schema import Form, Recipe
from AcuteFindingsLib.training.runs.items import Arrays
from AcuteFindingsLib.training.runs.labels import trained_labels

# Masks of clots are kept at a quarter of the picture's side, the finest that the encoder's decoder draws.
_CLOT_REDUCTION = 4
# A pixel of such a mask counts where a tenth of it is clot: most clots are thinner than it is wide.
_CLOT_SHARE = 0.1


@dataclass(frozen=True)
class Preparation:
    """What shapes the arrays besides the images themselves: plain values, so that it travels and goes into digests.

    Attributes
    ----------
    task
        Of the recipe.
    form
        What is prepared together, as `Recipe.form` says.
    settings
        Preprocessing numbers of the task's detector, complete.
    labels
        Names of the labels, in order.
    lungs
        Folder of the model package that outlines lungs where the data set does not; None where nobody asks for lungs.
    """

    task: str
    form: Form
    settings: dict[str, Any]
    labels: tuple[str, ...]
    lungs: Path | None = None

    @property
    def series(self) -> bool:
        """Whether slices are read with their series."""
        return self.form in ("series", "scan")

    @property
    def prepares(self) -> Callable[..., Any]:
        """What makes the images of a study for a network of the task: ``(study, settings)``."""
        found: Callable[..., Any] = find_task(self.task).load_scorer().images_of
        return found

    @property
    def numbers(self) -> Any:
        """The preprocessing numbers, as the task has them."""
        return find_task(self.task).load_settings().model_validate(self.settings)


def preparation_of(recipe: Recipe) -> Preparation:
    """Return what shapes the arrays of a recipe."""
    return Preparation(
        task=recipe.task,
        form=recipe.form,
        settings=recipe.settings().model_dump(),
        labels=trained_labels(recipe),
        lungs=default_package("lungs").folder if recipe.data.region != "whole" else None,
    )


def prepared_arrays(examples: Sequence[Example], plan: Preparation) -> Arrays:
    """Return ``images`` and ``masks`` (bytes), ``labels``, ``mask_known``, ``positive``, ``exam`` and ``keys``.

    Parameters
    ----------
    examples
        Of one series, or one single image.

    Raises
    ------
    DataError, StudyError
        Where an image cannot be read, or its mask does not lie on it.
    """
    if plan.form == "series":
        return _ct_series(examples, plan)
    if plan.form == "scan":
        return _scan(examples, plan)
    return _ct_slice(examples[0], plan) if plan.form == "slice" else _radiograph(examples[0], plan)


def _ct_series(examples: Sequence[Example], plan: Preparation) -> Arrays:
    settings, loaded = plan.numbers, _loaded(examples)
    prepared = plan.prepares(loaded.study, settings)
    weights = prepared.plan.weights
    by_source = np.stack([loaded.label(name) for name in plan.labels], axis=1)
    by_plane = _on_planes(by_source, prepared.axial)
    known = ~np.isnan(by_plane)
    share = weights @ np.nan_to_num(by_plane)
    # A new slice is known where all that it was made of is.
    labels = np.where(weights @ known.astype(np.float32) > 0.999, (share >= 0.5).astype(np.float32), np.nan)
    images = np.concatenate(
        [prepared[z : z + settings.batch][:, settings.channels // 2] for z in range(0, len(weights), settings.batch)]
    )
    side = max(settings.size // _CLOT_REDUCTION, 1)
    masks, mask_known = np.zeros((len(weights), side, side), np.uint8), np.zeros(len(weights), bool)
    clot = loaded.mask()
    if clot is not None:
        top, left, height, width = prepared.box
        view = _axial_view(clot, prepared.axial)[:, top : top + height, left : left + width]
        masks = (resize_in_plane(prepared.plan.read(view), (side, side)) > _CLOT_SHARE).astype(np.uint8)
        mask_known[:] = True
    exam = np.array([_exam(loaded.label(name), name, labels[:, 0]) for name in EXAM_LABELS], np.float32)
    keys = np.array([f"{examples[0].series}/{z:04d}" for z in range(len(labels))])
    return _arrays((images + 1) / 2, masks, labels, mask_known, keys=keys, exam=exam)


def _ct_slice(example: Example, plan: Preparation) -> Arrays:
    settings = plan.numbers
    hu = load_image(example)[None]
    inside = lungs_heart_mask(hu) if settings.mask else None
    images = prepare_pe_slices(hu, inside, level=settings.window_level, width=settings.window_width, size=settings.size)
    side = max(settings.size // _CLOT_REDUCTION, 1)
    clot = load_mask(example, hu.shape[1:])
    masks = np.zeros((1, side, side), np.uint8)
    if clot is not None:
        masks = (resize_in_plane(clot[None].astype(np.float32), (side, side)) > _CLOT_SHARE).astype(np.uint8)
    return _arrays((images + 1) / 2, masks, _labels([example], plan), np.array([clot is not None]), keys=[example.key])


def _scan(examples: Sequence[Example], plan: Preparation) -> Arrays:
    settings, loaded = plan.numbers, _loaded(examples)
    prepared = plan.prepares(loaded.study, settings)
    by_source = np.stack([loaded.label(name) for name in plan.labels], axis=1)
    axial = prepared.axial
    labels = by_source[prepared.order] if len(by_source) == len(prepared.order) else _on_planes(by_source, axial)
    masks, known = np.zeros(prepared.images.shape, np.uint8), np.zeros(len(labels), bool)
    bleed = loaded.mask() if loaded.study.intensity != "windowed" else None
    if bleed is not None:
        view = _axial_view(bleed, axial)
        for number, (plane, center) in enumerate(zip(prepared.planes, prepared.centers, strict=True)):
            share = fit_in_plane(
                view[plane][None].astype(np.float32),
                axial.spacing[1:],
                target_spacing=settings.pixel_mm,
                size=settings.size,
                fill=0.0,
                center_yx=(center[0], center[1]),
            )[0]
            masks[number] = share >= 0.5
        known[:] = True
    # Where nothing bleeds, the mask is known to be empty.
    known |= labels[:, 0] == 0
    keys = [one.key if one is not None else "" for one in loaded.examples]
    named = np.array(keys)[prepared.order] if len(keys) == len(labels) else [f"{z:04d}" for z in range(len(labels))]
    return _arrays(prepared.images, masks, labels, known, keys=named)


def _radiograph(example: Example, plan: Preparation) -> Arrays:
    settings = RadiographSettings.model_validate(plan.settings)
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    image = load_image(example)
    mask = load_mask(example, image.shape)
    labels = _labels([example], plan)
    known = mask is not None
    if mask is None:
        mask = np.zeros(image.shape, bool)
        # Where the finding is not, its mask is known to be empty.
        known = bool((labels[0, :1] == 0).any())
    lungs = None if settings.region == "whole" else _lungs(example, image, plan)
    square = network_images([image], plain, None if lungs is None else [lungs])[0]
    box = shown_box(image.shape, settings, lungs)
    fitted = to_square(mask[box].astype(np.float32), settings) >= 0.5
    return _arrays(square, fitted[None].astype(np.uint8), labels, np.array([known]), keys=[example.key])


def _arrays(
    images: np.ndarray,
    masks: np.ndarray,
    labels: np.ndarray,
    mask_known: np.ndarray,
    *,
    keys: Sequence[str] | np.ndarray,
    exam: np.ndarray | None = None,
) -> Arrays:
    drawn = masks.reshape(len(masks), -1).any(axis=1)
    first = labels[:, 0] if labels.shape[1] else np.full(len(labels), np.nan)
    return {
        "images": np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8),
        "masks": np.asarray(masks, np.uint8),
        "labels": labels.astype(np.float32),
        "mask_known": np.asarray(mask_known, bool),
        "positive": np.where(np.isnan(first), drawn, first >= 0.5),
        "exam": np.full(len(EXAM_LABELS), np.nan, np.float32) if exam is None else exam,
        "keys": np.asarray(keys, dtype=str),
    }


def _labels(examples: Sequence[Example], plan: Preparation) -> np.ndarray:
    unknown = float("nan")
    values = [[one.labels.get(name, unknown) for name in plan.labels] for one in examples]
    return np.array(values, np.float32).reshape(len(examples), len(plan.labels))


def _loaded(examples: Sequence[Example]) -> LoadedStudy:
    first = examples[0]
    if first.source is not None and is_picture(first.source):
        return LoadedStudy(
            read_study(first.source, requirements=kind_of_task(first.task).requirements, one_examination=True), (first,)
        )
    if not first.series:
        # A single image is a series of one slice.
        first = replace(first, series=first.key)
        return load_study((first,))
    return load_study(examples)


def _on_planes(values: np.ndarray, axial: Axial) -> np.ndarray:
    """Read ``(sources, L)`` at the planes of the axial array: those of the nearest source slice."""
    planes = np.arange(len(axial.array))
    if not np.isfinite(axial.source_z).all():
        raise DataError("Slices that are not axial carry labels that no axial slice has; leave this series out.")
    nearest = np.abs(planes[:, None] - axial.source_z[None]).argmin(axis=1)
    return values[nearest]


def _axial_view(mask: np.ndarray, axial: Axial) -> np.ndarray:
    return np.flip(mask.transpose(axial.order), axial.flipped).astype(np.float32)


def _exam(stated: np.ndarray, name: str, slices: np.ndarray) -> float:
    """Return an exam label: as the data set states it beside each slice, or what the slices say of embolism."""
    values = stated if not np.isnan(stated).all() or name != "pe_present" else slices
    return float("nan") if np.isnan(values).all() else float(np.nanmax(values) >= 0.5)


def _lungs(example: Example, image: np.ndarray, plan: Preparation) -> np.ndarray:
    if "lungs" in example.masks:
        mask = load_mask(example, image.shape, name="lungs")
        if mask is not None:
            return mask
    if plan.lungs is None:
        raise DataError(f"{example.key}: the lungs are not outlined; name a model that outlines them.")
    return _lungs_model(plan.lungs).masks([image])[0]


@lru_cache(maxsize=1)
def _lungs_model(folder: Path) -> LungsScorer:
    return LungsScorer(load_predictor(find_package(folder, task="lungs"), device="cpu"))
