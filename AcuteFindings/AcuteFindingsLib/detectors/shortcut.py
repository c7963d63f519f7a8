"""Does the pneumothorax answer lean on the lung, or on what lies beside it? After SOURCES.md 5."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.radiograph import Lungs, network_images, radiograph_settings, shown_box, unfit_shown
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.study.notice import Notice

TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")

# A Grad-CAM map is coarse: from this share of its maximum on, a region counts as where the tube was seen.
_TUBE_REGION = 0.5

# Between whole picture and lungs alone, a fall of this much says that the lungs do not carry the answer by themselves.
_FALL = 0.3


@dataclass(frozen=True)
class ShortcutCheck:
    """Pneumothorax probability on altered pictures, by what was altered, and the warnings they give rise to."""

    probabilities: dict[str, float]
    notices: tuple[Notice, ...]


def altered_pictures(image: np.ndarray, lungs: Lungs) -> dict[str, np.ndarray]:
    """Return the picture with the lungs alone and with the lungs removed, the rest set to the picture's mean.

    The lungs are widened by a hundredth of the picture first, so that the pleural line stays with them.
    """
    reach = max(1, round(0.01 * max(image.shape)))
    inside = ndimage.binary_dilation(lungs.both, iterations=reach)
    grey = np.float32(image.mean())
    return {"lungs only": np.where(inside, image, grey), "lungs removed": np.where(inside, grey, image)}


def check_shortcuts(
    image: np.ndarray,
    lungs: Lungs,
    whole: float,
    chest_probabilities: dict[str, float],
    *,
    predictor: Predictor,
    chest: Predictor,
    outlines: Callable,
) -> ShortcutCheck:
    """Ask the pneumothorax model again with lungs alone, lungs removed, and the tubes that are there covered.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1.
    whole
        The probability for the whole picture.
    chest_probabilities
        The chest model's, by label; a tube counts as present from its operating point on.
    outlines
        Function ``(pictures, predictor)`` that gives an object with `probability` for each picture.
    """
    pictures = altered_pictures(image, lungs) if lungs.found else {}
    known = [name for name in TUBES if name in chest_probabilities]
    tubes = [name for name in known if chest_probabilities[name] >= chest.card.threshold("study", name)]
    if tubes:
        pictures["tubes covered"] = np.where(_tube_region(image, lungs, tubes, chest), np.float32(image.mean()), image)
    if not pictures:
        return ShortcutCheck({}, ())
    answers = outlines(list(pictures.values()), predictor)
    probabilities = {name: answer.probability for name, answer in zip(pictures, answers, strict=True)}
    threshold = predictor.card.threshold("study", "pneumothorax")
    return ShortcutCheck(probabilities, tuple(_notices(whole, probabilities, tubes, threshold)))


def _notices(whole: float, probabilities: dict[str, float], tubes: list[str], threshold: float) -> list[Notice]:
    notices = []
    removed, only = probabilities.get("lungs removed"), probabilities.get("lungs only")
    if removed is not None and removed >= threshold:
        text = (
            f"With the lungs removed from the picture the pneumothorax probability is still {removed:.2f}: "
            "the answer leans on what is outside the lungs."
            if whole >= threshold
            else f"With the lungs removed from the picture the pneumothorax probability rises from {whole:.2f} to "
            f"{removed:.2f}, although nothing is left to judge: the model reacts to more than lungs."
        )
        notices.append(Notice("shortcut-outside-lungs", "warn", text))
    if only is not None and whole >= threshold and whole - only >= _FALL:
        text = (
            f"The pneumothorax probability falls from {whole:.2f} to {only:.2f} when only the lungs are shown: "
            "part of the answer comes from outside them."
        )
        notices.append(Notice("shortcut-not-lungs-alone", "warn", text))
    if "chest_drain" in tubes and whole >= threshold:
        covered = probabilities["tubes covered"]
        text = (
            "A chest drain seems to be in; drains and pneumothorax go together in training data. "
            f"With the tubes covered the probability is {covered:.2f} instead of {whole:.2f}."
        )
        notices.append(Notice("shortcut-chest-drain", "warn", text))
    return notices


def _tube_region(image: np.ndarray, lungs: Lungs, tubes: list[str], chest: Predictor) -> np.ndarray:
    names = [label.name for label in chest.card.labels]
    order = [name for name in names if name in TUBES]
    settings = radiograph_settings(chest)
    batch = network_images([image], settings, [lungs.both])
    box = shown_box(image.shape, settings, lungs.both)
    region = np.zeros(image.shape, bool)
    for tube in tubes:
        seen = unfit_shown(chest.explain(batch, output="tubes", index=order.index(tube))[0], image.shape, box)
        region |= seen >= _TUBE_REGION * seen.max()
    return region
