"""Findings drawn into prepared images of the training part that show none."""

from collections.abc import Callable, Sequence

import numpy as np

from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images, shown_box, to_square
from AcuteFindingsLib.errors import TrainingError
from AcuteFindingsLib.networks.pe import EXAM_LABELS
from AcuteFindingsLib.phantoms.chest_xray.tubes import TUBES
from AcuteFindingsLib.training.data.load import load_image, load_mask
from AcuteFindingsLib.training.data.table import LUNGS, Example
from AcuteFindingsLib.training.lesions.bleeds import draw_bleed, draw_calcium
from AcuteFindingsLib.training.lesions.radiographs import at_most, draw_findings
from AcuteFindingsLib.training.recipes.data_plans import Drawn
from AcuteFindingsLib.training.recipes.schema import Form
from AcuteFindingsLib.training.runs.arrays import Preparation
from AcuteFindingsLib.training.runs.items import Arrays, Item

# So often a slice is shown with calcium, which is bright as blood and none.
_CALCIUM_SHARE = 0.3
# Radiographs are drawn into with so many times the pixels that the network reads, as a detector reads finer pictures.
_FINER = 1.5

Draw = Callable[[np.random.Generator, Item, Sequence[Example], Preparation, bool], Arrays | None]


def draw_into(
    item: Item, examples: Sequence[Example], preparation: Preparation, plan: Drawn, version: int
) -> Arrays | None:
    """Return one version of an image with a finding, or with what looks like one, as `prepared_arrays` does.

    Returns
    -------
    dict or None
        None where the image has no room for it.

    Raises
    ------
    TrainingError
        Where nobody knows how to draw into such images.
    """
    draw = _DRAWING.get(preparation.form)
    if draw is None or item.count > 1:
        raise TrainingError("data: findings are drawn into single images, and of heads and radiographs only.")
    # By the image's name, not by where its arrays lie: the same drawings on every computer.
    rng = np.random.default_rng([plan.seed, version, *item.key.encode()])
    return draw(rng, item, examples, preparation, bool(rng.random() < plan.positive_share))


def drawn_arrays(image: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> Arrays:
    """Return the arrays of a drawn image.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1.
    mask
        ``(y, x)`` bool.
    labels
        ``(L,)`` in the recipe's order, NaN where the drawing leaves it open.
    """
    return {
        "images": np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)[None],
        "masks": mask.astype(np.uint8)[None],
        "labels": labels.astype(np.float32)[None],
        "mask_known": np.ones(1, bool),
        "positive": np.array([bool(mask.any())]),
        "exam": np.full(len(EXAM_LABELS), np.nan, np.float32),
        "keys": np.array(["drawn"]),
    }


def _bleed(
    rng: np.random.Generator, item: Item, _examples: Sequence[Example], plan: Preparation, positive: bool
) -> Arrays | None:
    image = item.images()[0].astype(np.float32) / 255
    if rng.random() < _CALCIUM_SHARE:
        image = draw_calcium(rng, image)
    labels = np.zeros(len(plan.labels))
    if not positive:
        return drawn_arrays(image, np.zeros(image.shape, bool), labels)
    bleed = draw_bleed(rng, image)
    if bleed is None:
        return None
    labels[[number for number, name in enumerate(plan.labels) if number == 0 or name == bleed.kind]] = 1
    return drawn_arrays(bleed.image, bleed.mask, labels)


def _radiograph(
    rng: np.random.Generator, _item: Item, examples: Sequence[Example], plan: Preparation, positive: bool
) -> Arrays | None:
    settings = RadiographSettings.model_validate(plan.settings)
    whole = load_image(examples[0])
    outlined = load_mask(examples[0], whole.shape, name=LUNGS)
    if outlined is None:
        raise TrainingError(f"{examples[0].key}: findings are drawn into radiographs whose lungs are outlined.")
    image, lungs = at_most(whole, outlined, round(_FINER * settings.size))
    found = draw_findings(rng, image, lungs, positive=positive)
    if positive and not found.mask.any():
        return None
    known = {plan.labels[0]: positive, **{name: name in found.tubes for name in TUBES}}
    plain = settings.model_copy(update={"mean": 0.0, "std": 1.0})
    box = shown_box(image.shape, plain, lungs)
    return drawn_arrays(
        network_images([found.image], plain, [lungs])[0, 0],
        to_square(found.mask[box].astype(np.float32), settings) >= 0.5,
        np.array([known.get(name, np.nan) for name in plan.labels], np.float32),
    )


_DRAWING: dict[Form, Draw] = {"scan": _bleed, "radiograph": _radiograph}
