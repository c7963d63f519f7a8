"""Studies to measure with, and one measured run of the main job in a fresh process."""

import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pydicom
from pydicom.uid import generate_uid

SAMPLES = {"pe": "ctpa", "hemorrhage": "head-ct", "pneumothorax": "chest-xray"}
STAGES = ("read", "check and load", "preprocess", "network", "postprocess", "write", "total")
SEED = 900_001
_RUN = Path(__file__).with_name("run_once.py")
# A breath: the phantom's whole chest upwards in so many slices, then downwards, so that every 50 slices hold the same.
_CHEST_SLICES = 50


@dataclass(frozen=True)
class Measured:
    """Times and memory of one study.

    Attributes
    ----------
    rounds
        Seconds by stage (`STAGES`), one dict a round.
    peak_bytes
        Most resident memory of the process, start to end.
    peak_bytes_by_part
        The same while each thing that the job tells of was done; empty where the system cannot say.
    """

    detector: str
    model: str
    slices: int
    rounds: tuple[dict[str, float], ...]
    peak_bytes: int
    peak_bytes_by_part: dict[str, int]

    def seconds(self, stage: str) -> float:
        """Return the median over the rounds."""
        return median(times[stage] for times in self.rounds)


def measure_run(study: Path, detector: str, *, rounds: int = 1, models_folders: tuple[Path, ...] = ()) -> Measured:
    """Run the main job, from files to report, in a fresh process; its results are thrown away."""
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as out:
        command = [sys.executable, str(_RUN), str(study), detector, out, "--rounds", str(rounds)]
        for folder in models_folders:
            command += ["--models-folder", str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    # Whatever a library printed stands in front of the one line of JSON.
    answer = json.loads(done.stdout.splitlines()[-1])
    return Measured(**{**answer, "rounds": tuple(answer["rounds"])})


def write_sample(detector: str, folder: Path) -> Path:
    """Write the detector's positive sample at its full size as DICOM; return the folder of the images.

    Made in a process of its own, so that the memory of making it does not count for whoever is measured.
    """
    kind = SAMPLES[detector]
    code = (
        "import sys; from pathlib import Path; from AcuteFindingsLib.detectors.phantoms import make_phantom; "
        "from AcuteFindingsLib.phantoms.write_dicom import write_dicom; "
        "write_dicom(make_phantom(sys.argv[1], int(sys.argv[2]), positive=True), Path(sys.argv[3]))"
    )
    target = folder / kind
    subprocess.run([sys.executable, "-c", code, kind, str(SEED), str(target)], check=True)
    return target


def write_chest_series(
    sample: Path, folder: Path, count: int, *, step_mm: float = 1.0, window: tuple[int, int] | None = None
) -> Path:
    """Write a chest CT of `count` slices from the images of a shorter one, repeated upwards and downwards.

    Every 50 slices show a whole chest, so that what there is to find grows with the slices and nothing else changes.
    One image is in memory at a time. `window`: center and width for the headers; None leaves those of the sample.
    """
    folder.mkdir(parents=True)
    templates = sorted(sample.iterdir())
    read = lru_cache(maxsize=2)(pydicom.dcmread)
    series, frame = generate_uid(), generate_uid()
    for number in range(count):
        there_and_back = number % (2 * _CHEST_SLICES)
        along = min(there_and_back, 2 * _CHEST_SLICES - 1 - there_and_back) / (_CHEST_SLICES - 1)
        image = copy.copy(read(templates[round(along * (len(templates) - 1))]))
        x, y, _ = image.ImagePositionPatient
        image.SeriesInstanceUID, image.FrameOfReferenceUID = series, frame
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber = number + 1
        image.SliceThickness = str(step_mm)
        image.ImagePositionPatient = [x, y, f"{number * step_mm:.4f}"]
        image.SliceLocation = f"{number * step_mm:.4f}"
        if window is not None:
            image.WindowCenter, image.WindowWidth = window
        image.save_as(folder / f"{number + 1:04d}.dcm")
    return folder


def first_slices(series: Path, folder: Path, count: int) -> Path:
    """Link the first slices of a series into a folder of their own, without copying them."""
    folder.mkdir(parents=True)
    for file in sorted(series.iterdir())[:count]:
        os.link(file, folder / file.name)
    return folder
