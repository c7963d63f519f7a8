"""Drawn studies that pass every check: a chest with contrast, a head, a radiograph."""

from functools import cache

import numpy as np

from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

PIXEL = 2.5


def ball(shape: tuple[int, ...], center_mm: tuple[float, ...], radii_mm: tuple[float, ...], step: tuple[float, ...]):
    axes = np.ogrid[tuple(slice(0, count) for count in shape)]
    middle = [(count - 1) / 2 for count in shape]
    return (
        sum(
            (((axis - m) * d - c) / r) ** 2
            for axis, m, d, c, r in zip(axes, middle, step, center_mm, radii_mm, strict=True)
        )
        <= 1
    )


def axial_study(array: np.ndarray, step: tuple[float, float, float]) -> Study:
    sources = tuple(SourceSlice(k, None, 0, "", (0.0, 0.0, k * step[0]), float(k), step[0]) for k in range(len(array)))
    matrix = np.diag([-step[2], -step[1], step[0], 1.0])
    return Study(array.astype(np.float32), matrix, "CT", "HU", "axial", sources)


@cache
def ctpa(contrast: float = 350.0, spacing: float = 3.0) -> Study:
    """A drawn chest: body, lungs, spine, muscle of the heart and the blood in it."""
    step = (spacing, PIXEL, PIXEL)
    shape = (round(270 / spacing), 160, 160)
    hu = np.full(shape, -1000.0) + np.random.default_rng(0).normal(0, 10, shape)
    tissue = ball(shape[1:], (0, 0), (110, 165), step[1:])
    hu[:, tissue] += 1050
    for side in (-80, 80):
        hu[ball(shape, (0, 0, side), (125, 85, 60), step)] -= 900
    hu[ball(shape, (0, -15, 0), (60, 55, 55), step)] = 50
    hu[ball(shape, (0, -15, 0), (52, 45, 45), step)] = max(contrast, 42.0)
    hu[:, ball(shape[1:], (60, 0), (22, 22), step[1:])] = 220
    return axial_study(hu, step)


@cache
def head() -> Study:
    """A drawn head: scalp, skull, brain; with noise everywhere, without which it would be a label map."""
    step = (5.0, PIXEL, PIXEL)
    shape = (30, 100, 100)
    hu = np.full(shape, -1000.0)
    for radii, value in (((72, 95, 78), 20.0), ((68, 88, 72), 900.0), ((60, 80, 64), 34.0)):
        hu[ball(shape, (0, 0, 0), radii, step)] = value
    hu += np.random.default_rng(1).normal(0, 5, shape)
    return axial_study(hu, step)


@cache
def radiograph() -> Study:
    y, x = np.mgrid[:512, :480] / 480
    array = (0.5 + 0.4 * np.sin(6 * x) * np.cos(5 * y)).astype(np.float32)[None]
    return Study(array, np.diag([-0.5, -0.5, 1, 1]), "DX", "unit", "projection", (), DicomFacts(view_position="PA"))
