"""Gray levels: the window that turns HU into what a network or a person sees."""

import numpy as np

# Level and width in HU at which people and the published network look for emboli (docs/sources.md 1).
PE_WINDOW = (100.0, 700.0)


def apply_window(array: np.ndarray, *, level: float, width: float) -> np.ndarray:
    """Map HU to 0..1 by the linear VOI function of DICOM PS3.3 C.11.2.1.2.1.

    Parameters
    ----------
    array
        HU, any shape. It is not changed.
    level, width
        Window center and width in HU. The standard's function runs from ``level - 0.5 - (width - 1) / 2`` to
        ``level - 0.5 + (width - 1) / 2``; the half and the one are in the published PE preprocessing too
        (docs/sources.md 1: 100/700 for the network, -500/1400 for its lung mask).

    Returns
    -------
    float32 in 0..1, shaped as `array`.

    Raises
    ------
    ValueError
        Where `width` is below 1, which the standard forbids.
    """
    if width < 1:
        raise ValueError(f"A window width must be at least 1 HU; {width:g} was requested.")
    out = np.array(array, dtype=np.float32)
    if width == 1:
        return (out > level - 0.5).astype(np.float32)
    out -= np.float32(level - 0.5)
    out /= np.float32(width - 1)
    out += np.float32(0.5)
    return np.clip(out, 0.0, 1.0, out=out)
