"""Reading one folder of DICOM files, by this library and by SimpleITK, by turns: ``python reading.py FOLDER ROUNDS``.

Prints one line of JSON: seconds of each round. Both give the whole volume in Hounsfield units; this library's reading
also checks geometry and identity.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import SimpleITK as sitk

from AcuteFindingsLib.study.reader import read_study


def by_simpleitk(folder: Path) -> int:
    """Read the series as SimpleITK's documentation does; returns its number of slices."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return len(sitk.GetArrayViewFromImage(reader.Execute()))


def main(folder: Path, rounds: int) -> None:
    """Measure; the first reading of each, which loads libraries, does not count."""
    readers = {"AcuteFindings": lambda: len(read_study(folder).array), "SimpleITK": lambda: by_simpleitk(folder)}
    slices = {name: read() for name, read in readers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            clock = perf_counter()
            read()
            seconds[name].append(perf_counter() - clock)
    print(json.dumps({"slices": slices, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
