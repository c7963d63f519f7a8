"""From the small maps of a predictor to heat maps that can be compared."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.resample import resize_in_plane

GRADCAM = "Grad-CAM"
"""What maps are called that a network does not draw itself."""


def scale_maps(
    maps: np.ndarray, probability: np.ndarray, shape_yx: tuple[int, int], *, drawn: bool = False
) -> np.ndarray:
    """Stretch maps to pictures and let each reach as high as the probability that it explains.

    So maps of different slices can be compared: one that the network finds negative stays dark, and 1 is reached only
    where it is certain.

    Parameters
    ----------
    maps
        ``(n, y, x)``, at least 0, of any scale.
    probability
        ``(n,)`` in 0..1.
    shape_yx
        Of the pictures.
    drawn
        Whether the maps are probabilities themselves: they stay as they are and are cut off at `probability`.
        Stretched, one in which the model draws nothing would show a place all the same.

    Returns
    -------
    numpy.ndarray
        ``(n, *shape_yx)`` float32 in 0..1.
    """
    heat = np.clip(resize_in_plane(maps, shape_yx), 0, None)
    if drawn:
        return np.minimum(heat, np.asarray(probability, np.float32)[:, None, None], out=heat)
    peak = heat.max(axis=(1, 2), keepdims=True)
    np.divide(heat, peak, out=heat, where=peak > 0)
    heat *= np.asarray(probability, np.float32)[:, None, None]
    return heat


def explain_batch(
    predictor: Predictor, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = ""
) -> np.ndarray:
    """Return where a network looked for one output number of each item: the small maps at the batch's size.

    Each reaches as high as the item's own probability: the sigmoid of the output, of a mask of its largest logit.

    Parameters
    ----------
    batch, part, then
        As for `Predictor.predict_explained`.
    output
        Name of the output to explain.
    index
        Which of its numbers (its second axis).

    Returns
    -------
    numpy.ndarray
        ``(n, y, x)`` float32 in 0..1.

    Raises
    ------
    ModelError
        As `Predictor.predict_explained`, and when the output has no such number.
    """
    said = predictor.predict_explained(batch, outputs=(output,), part=part, then=then)
    outputs = said.outputs
    if then:
        sequences = predictor.predict(outputs[part][:, None], part=then)
        outputs = {name: value[:, 0] for name, value in sequences.items()}
    require_number(predictor.card.id, {name: value.shape for name, value in outputs.items()}, output, index)
    logits = outputs[output][:, index].reshape(len(batch), -1).max(axis=1)
    return scale_maps(said.maps[output][:, index], expit(logits), batch.shape[-2:])


def require_number(model: str, shapes: dict[str, tuple[int, ...]], output: str, index: int = 0) -> None:
    """Raise `ModelError` where a model's outputs, by name their shapes, do not have this number."""
    if output not in shapes or not 0 <= index < shapes[output][1]:
        given = ", ".join(f"{name} {shape[1:]}" for name, shape in shapes.items())
        raise ModelError(f"The model {model!r} has no output {output!r} number {index}; it gives {given}.")


def outputs_there(model: str, shapes: dict[str, tuple[int, ...]], outputs: Sequence[str]) -> list[str]:
    """Return which of some outputs a model has; raises `ModelError` where it has none."""
    there = [name for name in outputs if name in shapes]
    if not there:
        require_number(model, shapes, outputs[0])
    return there
