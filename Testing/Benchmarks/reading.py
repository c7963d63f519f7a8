"""Reading a CT series, from files to HU, by this library and by SimpleITK's ImageSeriesReader, alternating.

``python Testing/Benchmarks/reading.py [FOLDER]`` prints a table; without a folder a drawn chest of 275 JPEG-LS slices
is read. Both read the same files in the same process; the first round of each warms up and is not counted.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import UID, JPEGLSLossless

from AcuteFindingsLib.study.reader import read_study
from measure import write_chest_series, write_sample

SLICES = 275


@dataclass(frozen=True)
class Reading:
    """Seconds of each round, by wall clock and of all processors together; largest difference of the voxels."""

    slices: int
    ours: tuple[float, ...]
    itk: tuple[float, ...]
    ours_processor: tuple[float, ...]
    itk_processor: tuple[float, ...]
    largest_difference: float

    @property
    def ratio(self) -> float:
        """Our median wall time as a part of SimpleITK's."""
        return median(self.ours) / median(self.itk)


def measure_reading(series: Path, *, rounds: int = 5) -> Reading:
    """Read a folder that holds one CT series `rounds` times with each, one after the other."""
    times: dict[Callable[[Path], int], list[tuple[float, float]]] = {_ours: [], _itk: []}
    difference = float(np.abs(read_study(series).array - sitk.GetArrayFromImage(_itk_image(series))).max())
    slices = 0
    for _ in range(rounds):
        for read, found in times.items():
            wall, processor = perf_counter(), process_time()
            slices = read(series)
            found.append((perf_counter() - wall, process_time() - processor))
    ours, itk = (tuple(zip(*times[read], strict=True)) for read in (_ours, _itk))
    return Reading(slices, ours[0], itk[0], ours[1], itk[1], difference)


def write_compressed(sample: Path, folder: Path, *, count: int = SLICES, syntax: UID = JPEGLSLossless) -> Path:
    """Write a chest CT as `measure.write_chest_series` does, its pixels compressed."""
    write_chest_series(sample, folder, count)
    for file in folder.iterdir():
        image = pydicom.dcmread(file)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(file)
    return folder


def table(reading: Reading) -> list[list[str]]:
    """Return header and rows."""
    return [
        ["reader", "slices", "wall, s", "processors, s"],
        ["this library", str(reading.slices), f"{median(reading.ours):.2f}", f"{median(reading.ours_processor):.2f}"],
        ["SimpleITK", str(reading.slices), f"{median(reading.itk):.2f}", f"{median(reading.itk_processor):.2f}"],
    ]


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description="Time of reading a CT series, against SimpleITK.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder of one series; a drawn one where none is given")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as work:
        series = asked.folder or write_compressed(write_sample("pe", Path(work)), Path(work) / "series")
        reading = measure_reading(series, rounds=asked.rounds)
    for row in table(reading):
        print("  ".join(cell.ljust(14) for cell in row))
    print(f"Ratio of the wall times: {reading.ratio:.2f}; largest difference {reading.largest_difference:g} HU.")


def _ours(folder: Path) -> int:
    return len(read_study(folder).array)


def _itk(folder: Path) -> int:
    return int(_itk_image(folder).GetSize()[2])


def _itk_image(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


if __name__ == "__main__":
    main()
