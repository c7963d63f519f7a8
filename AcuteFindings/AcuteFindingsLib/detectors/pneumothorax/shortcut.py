"""Does the pneumothorax answer lean on the lung, or on what lies beside it? After docs/sources.md 5."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from AcuteFindingsLib.detectors.radiograph import Lungs
from AcuteFindingsLib.detectors.radiograph_scorers import ChestReading
from AcuteFindingsLib.detectors.wording import TUBES
from AcuteFindingsLib.study.notice import Notice

# A Grad-CAM map is coarse: from this share of its maximum on, a region counts as where the tube was seen.
_TUBE_REGION = 0.5

# Grains along the longer side in what takes the place of the lungs. A flat field alone would look like a lung without
# markings, which is what a pneumothorax is; a single texture suits one model and not another.
_GRAINS = (96, 128, 192, 256)

# A fall of this much, with the lungs alone or the tubes covered, says that the answer comes in part from what is gone.
_FALL = 0.3


@dataclass(frozen=True)
class ShortcutCheck:
    """Pneumothorax probability on altered pictures, by what was altered, and the warnings they give rise to."""

    probabilities: dict[str, float]
    notices: tuple[Notice, ...]


def altered_pictures(image: np.ndarray, lungs: Lungs) -> dict[str, list[np.ndarray]]:
    """Return the picture with the lungs alone, and with the lungs removed in several ways.

    Around the lungs alone all is the picture's mean. Removed lungs give way to that mean, or to a texture of the
    picture's mean and spread, coarse to fine: an answer that stays whatever took their place does not come from them.
    The lungs are widened by a hundredth of the picture first, so that the pleural line goes with them.
    """
    longest = max(image.shape)
    inside = ndimage.binary_dilation(lungs.both, iterations=max(1, round(0.01 * longest)))
    mean, spread = np.float32(image.mean()), np.float32(image.std())
    removed = [np.where(inside, mean, image)]
    for grains in _GRAINS:
        drawn = np.random.default_rng(0).normal(size=[max(1, round(side * grains / longest)) for side in image.shape])
        texture = stretched(drawn.astype(np.float32), image.shape)
        texture *= spread / texture.std()
        removed.append(np.where(inside, np.clip(mean + texture, 0, 1), image))
    return {"lungs only": [np.where(inside, image, mean)], "lungs removed": removed}


def check_shortcuts(
    image: np.ndarray,
    lungs: Lungs,
    whole: float,
    chest: ChestReading,
    *,
    threshold: float,
    ask: Callable[[list[np.ndarray]], Sequence[float] | np.ndarray],
) -> ShortcutCheck:
    """Ask the pneumothorax model again with lungs alone, lungs removed, and the tubes that are there covered.

    Where a picture is altered in several ways, the lowest answer counts.

    Parameters
    ----------
    image
        ``(y, x)`` in 0..1.
    whole
        The probability for the whole picture.
    chest
        What the chest model says of it; a tube counts as present from its operating point on.
    threshold
        From where on the answer counts as positive.
    ask
        The pneumothorax model: pictures to a probability each.
    """
    pictures = altered_pictures(image, lungs) if lungs.found else {}
    card, probability = chest.scorer.predictor.card, chest.probabilities
    known = [name for name in TUBES if name in probability]
    tubes = [name for name in known if probability[name] >= card.threshold("study", name)]
    if tubes:
        covered = _tube_region(image.shape, tubes, chest)
        pictures["tubes covered"] = [np.where(covered, np.float32(image.mean()), image)]
    if not pictures:
        return ShortcutCheck({}, ())
    answers = iter(ask([picture for ways in pictures.values() for picture in ways]))
    probabilities = {name: min(float(next(answers)) for _ in ways) for name, ways in pictures.items()}
    return ShortcutCheck(probabilities, tuple(shortcut_notices(whole, probabilities, tubes, threshold)))


def shortcut_notices(whole: float, probabilities: dict[str, float], tubes: list[str], threshold: float) -> list[Notice]:
    """Say what the answers to altered pictures mean; `tubes` are those seen, `threshold` that of the study."""
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
    covered = probabilities.get("tubes covered")
    if covered is not None and whole >= threshold and whole - covered >= _FALL:
        text = (
            f"With the place of the tubes covered the pneumothorax probability falls from {whole:.2f} to "
            f"{covered:.2f}: part of the answer comes from there."
        )
        notices.append(Notice("shortcut-leans-on-tubes", "warn", text))
    elif covered is not None and whole >= threshold and "chest_drain" in tubes:
        text = (
            "A chest drain seems to be in; drains and pneumothorax go together in training data. "
            f"With the tubes covered the probability is {covered:.2f} instead of {whole:.2f}."
        )
        notices.append(Notice("shortcut-chest-drain", "warn", text))
    return notices


def stretched(drawn: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a texture at another size; one that gets smaller is smoothed first, so that it keeps its grain."""
    factors = np.divide(drawn.shape, shape)
    smooth = ndimage.gaussian_filter(drawn, np.maximum(0, (factors - 1) / 2), mode="mirror")
    return ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)


def _tube_region(shape: tuple[int, ...], tubes: list[str], chest: ChestReading) -> np.ndarray:
    region = np.zeros(shape, bool)
    for tube in tubes:
        seen = chest.where(tube)
        region |= seen >= _TUBE_REGION * seen.max()
    return region
