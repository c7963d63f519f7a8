"""Batches: what they add to a plain loop, what a second worker brings, and a model of many workers."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pydicom
from pydicom.uid import generate_uid

from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.phantoms.write_dicom import write_dicom
from simulate import Costs, simulated_seconds
from tables import as_markdown, goal, spread, times

MOST_OVER_LOOP = 1.05
STUDIES = 16
# Two head CTs, two radiographs, and so on: after the first four, one or two workers have met both kinds.
_WARM = 4
_RUN = Path(__file__).with_name("batch_once.py")
_LOOP, _LOCAL = ("loop", 1), ("local", 1)
_RUNS = (_LOOP, _LOCAL, ("local", 2), ("ray", 1), ("ray", 2))
_MODEL_WORKERS, _MODEL_STUDIES = (1, 2, 8, 64), 10_000
# A network of 1 and of 10 Gbit/s, of which a file share gives about nine tenths.
_SHARES = (("1 Gbit/s", 112e6), ("10 Gbit/s", 1120e6))
# Assumed for a CT angiogram: 500 slices of half a megabyte, and its time.
_LARGE_BYTES, _LARGE_SECONDS = 250e6, 15.0


def measure_batch(work: Path, *, rounds: int, studies: int = STUDIES) -> tuple[object, list[str], list[str]]:
    """Return what was measured, the paragraphs that say it, and its goals."""
    folder = work / "batch-studies"
    size = write_studies(folder, studies)
    runs = [run for run in _RUNS if run[0] != "ray" or importlib.util.find_spec("ray")]
    found: dict[tuple[str, int], list[dict[str, list[float]]]] = {run: [] for run in runs}
    for number in range(rounds):
        first = number % len(runs)
        for run in (*runs[first:], *runs[:first]):
            found[run].append(_once(folder, *run))
    over = median(_each(found[_LOCAL])) / median(_each(found[_LOOP]))
    costs = {run: _costs(answers) for run, answers in found.items() if run[0] != "loop" and run[1] == 1}
    paragraphs = [
        f"{studies} phantoms, half head CTs of 128×128, half radiographs of 512×512, {size / 1e6:.1f} MB each, by the "
        f"models that ship, {os.cpu_count()} cores; {times(rounds, 'round')} by turns, every run in fresh processes. "
        "The loop calls `run_study` in one process whose networks stay in memory; the others do what the command "
        f"`batch` does, list included. Seconds a study after the first {_WARM}, by which time the networks are loaded: "
        "median (lowest to highest) of the rounds.",
        as_markdown(list(_table(found))),
        _costs_said(costs),
        "### A model of many workers",
        _assumptions(),
        as_markdown(list(_simulated(costs, size))),
    ]
    if len(runs) < len(_RUNS):
        paragraphs.append("Ray was not measured: it is not installed.")
    data = {
        "bytes": size,
        "runs": {f"{engine} {workers}": answers for (engine, workers), answers in found.items()},
        "costs": {engine: asdict(one) for (engine, _), one in costs.items()},
    }
    goals = [goal(f"a batch with one worker at most {MOST_OVER_LOOP} of a plain loop's time a study", over, 1.05)]
    return data, paragraphs, goals


def write_studies(folder: Path, count: int) -> float:
    """Write so many studies of patients of their own as DICOM; return how many bytes one has on average."""
    kinds: tuple[Phantom, Phantom] = (
        make_head_ct(11, positive=True, matrix=128, slice_spacing=5.0),
        make_chest_xray(11, positive=True),
    )
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as samples:
        written = [write_dicom(kind, Path(samples, str(number))) for number, kind in enumerate(kinds)]
        for number in range(count):
            _copy(written[number // 2 % 2], folder / f"{number:04}", f"PHANTOM-{number}")
    return sum(file.stat().st_size for file in folder.rglob("*.dcm")) / count


def _copy(files: Sequence[Path], folder: Path, patient: str) -> None:
    folder.mkdir(parents=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for file in files:
        image = pydicom.dcmread(file)
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.PatientID = image.PatientName = patient
        image.save_as(folder / file.name)


def _once(studies: Path, engine: str, workers: int) -> dict[str, list[float]]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with TemporaryDirectory(prefix="acutefindings-benchmark-") as out:
        command = [sys.executable, str(_RUN), str(studies), out, engine, str(workers)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    # Whatever a library printed stands in front of the one line of JSON.
    answer: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _each(runs: Sequence[dict[str, list[float]]], of: str = "answers") -> list[float]:
    """Return the seconds a study of each run, once the networks are loaded."""
    return [(run[of][-1] - run[of][_WARM - 1]) / (len(run[of]) - _WARM) for run in runs]


def _table(found: dict[tuple[str, int], list[dict[str, list[float]]]]) -> Iterator[list[str]]:
    yield ["by", "workers", "s a study", "of the loop's", "times one worker's rate", "first answer after, s"]
    loop = median(_each(found[_LOOP]))
    for (engine, workers), runs in found.items():
        each = median(_each(runs))
        one = median(_each(found[engine, 1]))
        first = median(run["answers"][0] for run in runs)
        yield [engine, str(workers), spread(_each(runs)), f"{each / loop:.3f}", f"{one / each:.2f}", f"{first:.1f}"]


def _costs(runs: Sequence[dict[str, list[float]]]) -> Costs:
    each, driver = median(_each(runs)), median(_each(runs, "driver"))
    start = median(run["answers"][0] for run in runs) - each
    return Costs(start=max(0.0, start), study=max(0.0, each - driver), driver=driver, share=0.0)


def _costs_said(costs: dict[tuple[str, int], Costs]) -> str:
    said = (
        f"{engine}: a worker has started, with its networks, after {one.start:.1f} s, and the driver spends "
        f"{1000 * one.driver:.1f} ms a study"
        for (engine, _), one in costs.items()
    )
    return f"Measured with one worker: {'; '.join(said)}."


def _assumptions() -> str:
    return (
        f"A simulation of {_MODEL_STUDIES:,} studies, not a measurement. Taken from the runs above: start of a worker, "
        "its time a study, the driver's time a study. Assumed: every worker has as many cores of its own as the "
        "measured one and starts at the same moment; the driver does one thing at a time; so does the shared disk, "
        "which gives each study's files once, at the speed of its network; writing results is left out; "
        "no worker is lost. The large "
        f"study is assumed to have {_LARGE_BYTES / 1e6:.0f} MB and to take {_LARGE_SECONDS:.0f} s. "
        "Efficiency is the rate divided by that of so many workers that never wait and start at once."
    )


def _simulated(costs: dict[tuple[str, int], Costs], size: float) -> Iterator[list[str]]:
    yield ["engine", "study", "shared disk", *(f"{count}: studies/h (efficiency)" for count in _MODEL_WORKERS)]
    for (engine, _), measured in costs.items():
        for name, size_each, study in (("as measured", size, measured.study), ("large", _LARGE_BYTES, _LARGE_SECONDS)):
            for share, speed in _SHARES:
                one = Costs(measured.start, study, measured.driver, size_each / speed)
                row = [engine, name, share]
                for workers in _MODEL_WORKERS:
                    seconds = simulated_seconds(one, workers, _MODEL_STUDIES)
                    efficiency = _MODEL_STUDIES * one.alone / workers / seconds
                    row.append(f"{3600 * _MODEL_STUDIES / seconds:,.0f} ({100 * efficiency:.0f} %)")
                yield row
