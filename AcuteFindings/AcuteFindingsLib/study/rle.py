"""Run-length masks as the SIIM-ACR pneumothorax data set writes them (docs/sources.md 3)."""

from collections.abc import Iterable

import numpy as np

from AcuteFindingsLib.errors import StudyError

EMPTY = "-1"
"""What stands for an image without a mask."""

SIIM_SIZE = (1024, 1024)
"""``(y, x)`` of every image of SIIM-ACR."""


def decode_runs(text: str, size: tuple[int, int] = SIIM_SIZE) -> np.ndarray:
    """Return the mask ``(y, x)`` bool of a run-length string.

    Numbers come in pairs: how many pixels are skipped since the end of the run before (since the first pixel for the
    first), and how many are marked. Pixels count down the columns, left column first.

    Parameters
    ----------
    text
        The string; ``"-1"`` or nothing is an empty mask.
    size
        ``(y, x)`` of the image.

    Raises
    ------
    StudyError
        Where the string is no pairs of whole numbers of at least 0, or runs past the end of the image.
    """
    height, width = size
    if is_empty(text):
        return np.zeros(size, bool)
    numbers = run_numbers(text)
    end, pixels = int(numbers.sum()), height * width
    if end > pixels:
        raise StudyError(
            f"A run-length mask marks pixel {end} of an image of {height}×{width} = {pixels} pixels; it belongs to a "
            "larger image."
        )
    flat = np.zeros(pixels, bool)
    places = np.cumsum(numbers).tolist()
    # A loop over some hundred runs is many times quicker than any sweep over a million pixels.
    for first, behind in zip(places[0::2], places[1::2], strict=True):
        flat[first:behind] = True
    return flat.reshape(width, height).T


def encode_runs(mask: np.ndarray) -> str:
    """Return the run-length string of a mask ``(y, x)``; ``"-1"`` where it is empty. Undoes `decode_runs` exactly.

    Raises
    ------
    ValueError
        When the mask is not two-dimensional.
    """
    if mask.ndim != 2:
        raise ValueError(f"mask has {mask.ndim} dimensions; expected (y, x)")
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        edges = np.append(0, edges)
    if flat.size and flat[-1]:
        edges = np.append(edges, flat.size)
    if not len(edges):
        return EMPTY
    # Starts and ends alternate, so the gap to the edge before is by turns what is skipped and what is marked.
    return " ".join(map(str, np.diff(edges, prepend=0).tolist()))


def decode_union(texts: Iterable[str], size: tuple[int, int] = SIIM_SIZE) -> np.ndarray:
    """Return the union ``(y, x)`` bool of several masks of one image; empty where there are none.

    Raises
    ------
    StudyError
        As `decode_runs`.
    """
    union = np.zeros(size, bool)
    for text in texts:
        union |= decode_runs(text, size)
    return union


def is_empty(text: str) -> bool:
    """Whether a run-length string stands for no mask."""
    return text.strip() in ("", EMPTY)


def run_numbers(text: str) -> np.ndarray:
    """Return the numbers of a string that is not empty: by turns what is skipped and what is marked.

    Raises
    ------
    StudyError
        Where the string is no pairs of whole numbers of at least 0.
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError) as error:
        raise StudyError(f"A run-length mask holds something that is not a whole number: {text[:40]!r}.") from error
    if len(numbers) == 0 or len(numbers) % 2 or numbers.min() < 0:
        raise StudyError(
            f"A run-length mask holds {len(numbers)} numbers, the smallest {numbers.min(initial=0)}; expected pairs of "
            "at least 0 (skipped, marked)."
        )
    return numbers
