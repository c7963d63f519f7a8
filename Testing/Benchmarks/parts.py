"""What `runtimes` measures, part by part: each returns what was found, and says it in Markdown."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from commands import Runs, acutefindings, by_turns, commit_of, run_study, timed
from environments import Missing, environment
from growth import (
    MEMORY_GOAL_GB,
    SLICES,
    STEP_MM,
    growth_table,
    line_table,
    measure_growth,
    memory_table,
    stage_table,
)
from measure import SAMPLES, SEED, measure_run, write_chest_series, write_sample
from networks import (
    CUDA,
    KERAS,
    MODELS,
    ONNX,
    OPENVINO,
    PRODUCTS,
    SHIPPED,
    SOURCE_BATCH,
    SOURCE_SLICES,
    TORCH,
    NetworkTimes,
    crowding,
    time_network,
)
from tables import as_markdown, goal, spread, times

HERE = Path(__file__).parent
SOURCE_STEP_MM, SOURCE_WINDOW, SOURCE_SIZE = 3.0, (100, 650), 386
# What a dense layer multiplies is too little to speak of.
_LEAST_MULTIPLY_ADDS = 1_000_000
_THIS = "this tree"


@dataclass
class Bench:
    """Where to measure, how often, and what several parts need.

    Attributes
    ----------
    work
        A folder for files in between.
    rounds
        Of runs of commands; networks have more.
    slices
        Sizes of the chest CT that grows.
    against
        A tree of another commit to compare with.
    data
        The folder of real images; a part that needs them says so where it is missing.
    """

    work: Path
    rounds: int = 3
    network_rounds: int = 12
    slices: tuple[int, ...] = SLICES
    against: Path | None = None
    data: Path = field(default_factory=lambda: _data_folder())

    @cached_property
    def samples(self) -> dict[str, Path]:
        """The positive sample of each detector as DICOM."""
        return {detector: write_sample(detector, self.work / "samples") for detector in SAMPLES}

    @cached_property
    def source_models(self) -> Path | Missing:
        """The PE source's two models, written by Keras."""
        python = environment("tensorflow")
        if isinstance(python, Missing):
            return python
        folder = self.work / "source-models"
        folder.mkdir()
        timed([str(python), str(HERE / "source_models.py"), str(folder)])
        return folder

    def imported(self, tree: Path | None = None) -> Path:
        """Import the source's models by a tree's own command, once."""
        models = self.source_models
        assert isinstance(models, Path)
        package = self.work / f"imported-{'other' if tree else 'this'}" / "pe-source"
        if not package.is_dir():
            package.parent.mkdir()
            files = [str(models / "slices.h5"), "--also", f"sequence={models / 'sequence.h5'}"]
            asked = ["models", "import", *files, "--as", "pe-source", "--unproven", "--out", str(package)]
            acutefindings(asked, **({"tree": tree} if tree else {}))
        return package


@dataclass
class Part:
    """One part of the results: what was measured, the paragraphs that say it, and its goals in a line each."""

    data: Any
    paragraphs: list[str]
    goals: list[str] = field(default_factory=list)


def networks(bench: Bench) -> Part:
    """Time the source's network and every shipped one in every runtime."""
    found: list[NetworkTimes] = []
    paragraphs: list[str] = []
    goals: list[str] = []
    models = bench.source_models
    if isinstance(models, Path):
        shape = (SOURCE_BATCH, 1, SOURCE_SIZE, SOURCE_SIZE)
        source = time_network(
            bench.imported(),
            "encode",
            shape,
            bench.work / "source-network",
            rounds=bench.network_rounds,
            keras=models / "slices.h5",
            roof=True,
        )
        found.append(source)
        said, goals = _source_network(source, bench.network_rounds)
        paragraphs += said
    else:
        paragraphs.append(f"The PE source's network was not timed: {models.reason}.")
    for number, (model, part, shipped) in enumerate(SHIPPED):
        folder = bench.work / f"network-{number}"
        found.append(time_network(MODELS / model, part, shipped, folder, rounds=bench.network_rounds))
    rows = [["network", "batch", "GFLOP", f"{TORCH}, ms", f"{ONNX}, ms", f"{OPENVINO}, ms", "PyTorch / ONNX Runtime"]]
    for one in found[1:] if isinstance(models, Path) else found:
        work = f"{2 * one.multiply_adds / 1e9:.2f}" if one.multiply_adds > _LEAST_MULTIPLY_ADDS else "–"
        cells = [_milliseconds(one.median(name)) for name in (TORCH, ONNX, OPENVINO)]
        name = f"{one.network} {one.part}".strip()
        rows.append([name, "×".join(map(str, one.shape)), work, *cells, _ratio(one, TORCH, ONNX)])
    worst = max((max(one.differences.values()) for one in found if one.differences), default=0.0)
    paragraphs += [
        "### Shipped networks",
        f"Each at the batch that its detector asks for; median of {times(bench.network_rounds, 'round')} by turns.",
        as_markdown(rows),
        f"The largest difference of any answer to PyTorch's, after the sigmoid, was {worst:.1g}.",
        _missing(found),
    ]
    if not any(CUDA in one.seconds for one in found):
        paragraphs.append("Figures on a graphics card are missing: none that ONNX Runtime can use was there.")
    return Part([asdict(one) for one in found], [text for text in paragraphs if text], goals)


def _source_network(source: NetworkTimes, rounds: int) -> tuple[list[str], list[str]]:
    batches = SOURCE_SLICES / SOURCE_BATCH
    operations = 2 * source.multiply_adds
    products = {library: source.median(name) for library, name in PRODUCTS.items()}
    known = {library: seconds for library, seconds in products.items() if seconds is not None}
    best = min(known, key=lambda library: known[library])
    roof = known[best]
    rows = [["runtime", f"s for {SOURCE_SLICES} slices", "lowest to highest, s", "GFLOP/s", "of the roof's time"]]
    for name in (TORCH, KERAS, ONNX, OPENVINO, CUDA, *PRODUCTS.values()):
        seconds = source.median(name)
        if seconds is not None:
            every = [batches * one for one in source.seconds[name]]
            low_high = f"{min(every):.2f} to {max(every):.2f}"
            rate = f"{operations / seconds / 1e9:.0f}"
            rows.append([name, f"{batches * seconds:.2f}", low_high, rate, f"{seconds / roof:.2f}"])
    said = [
        f"### The PE source's network: InceptionResNetV2 at {SOURCE_SIZE}×{SOURCE_SIZE}",
        f"{operations / SOURCE_BATCH / 1e9:.1f} GFLOP a slice, counted from the graph. {times(rounds, 'round')} of "
        f"{SOURCE_BATCH} slices by turns, {rounds * SOURCE_BATCH} slices in all; medians, for {SOURCE_SLICES} slices. "
        f"Keras' `predict` takes batches of 32, as in the source's program, with the same weights.",
        as_markdown(rows),
        "The roof is the time of the matrix products that the convolutions are, in blocks that fit the cache, on as "
        f"many threads, by the quickest library: {best}, {operations / roof / 1e9:.0f} GFLOP/s. Runtimes: "
        + "; ".join(
            f"{name}: {text}"
            for name, text in source.runtimes.items()
            if name not in PRODUCTS.values() and name != text
        )
        + ".",
    ]
    goals = []
    for name in (ONNX, OPENVINO):
        seconds = source.median(name)
        if seconds is not None:
            goals.append(goal(f"the source's network by {name} at most 1.05 of the roof", seconds / roof, 1.05))
    return said, goals


def crowd(bench: Bench) -> Part:
    """Time one process alone and two at once."""
    found = crowding(MODELS / "lungs-unet-small", (2, 1, 192, 192), bench.work / "crowd", rounds=bench.network_rounds)
    rows = [["runtime", "alone, ms", "two at once, ms", "ratio"]]
    for name, seconds in found.items():
        alone, two = median(seconds["alone"]), median(seconds["two"])
        rows.append([name, f"{1000 * alone:.1f}", f"{1000 * two:.1f}", f"{two / alone:.2f}"])
    said = (
        "A lung outline (lungs-unet-small) by one process, and by two processes at the same time, each with as many "
        f"threads as there are cores; median of {times(bench.network_rounds, 'round')}. Two processes that share the "
        "cores fairly take twice as long."
    )
    return Part(found, [said, as_markdown(rows)])


def detectors(bench: Bench) -> Part:
    """Time every detector's own sample, cold, against another tree."""
    stages = [measure_run(study, name, rounds=bench.rounds) for name, study in bench.samples.items()]
    found: dict[str, dict[str, Runs]] = {}
    for name, study in bench.samples.items():
        found[name] = by_turns(_trees(bench, study, name), bench.rounds)
    commit = commit_of(bench.against) if bench.against else ""
    rows = [["detector", f"{_THIS}, s", "peak memory, GB"]]
    if commit:
        rows[0] += [f"commit {commit}, s", "its peak memory, GB", "times as fast"]
    goals = []
    for name, runs in found.items():
        row = [name]
        for one in runs.values():
            row += [spread(one.seconds), f"{max(one.peak_bytes) / 1e9:.2f}"]
        if commit:
            ratio = runs[commit].median / runs[_THIS].median
            row.append(f"{ratio:.2f}")
            met = "Met" if ratio >= 1.5 else "Missed"
            goals.append(f"Goal: {name} at least 1.5 times as fast as commit {commit}. {met}: {ratio:.2f}.")
        rows.append(row)
    paragraphs = [
        f"The positive sample study of seed {SEED} at its full size (512×512), from the command's start to its end in "
        f"a fresh process: median (lowest to highest) of {times(bench.rounds, 'round')} by turns.",
        as_markdown(rows),
        f"By stage: median of {times(bench.rounds, 'round')} in one process, without the start of Python.",
        as_markdown(stage_table(stages)),
    ]
    data = {
        "against": commit,
        "commands": {name: {tree: asdict(one) for tree, one in runs.items()} for name, runs in found.items()},
        "stages": [asdict(one) for one in stages],
    }
    return Part(data, paragraphs, goals)


def head(bench: Bench) -> Part:
    """Time a head CT of 28 slices, cold."""
    study = bench.data / "head-ct-dicom"
    what = "a real head CT"
    if not study.is_dir():
        study, what = bench.samples["hemorrhage"], "the sample study (the real one of 28 slices is not here)"
    slices = sum(1 for _ in study.rglob("*.dcm"))
    runs = by_turns(_trees(bench, study, "hemorrhage"), bench.rounds)
    one = runs[_THIS]
    peak = max(one.peak_bytes) / 1e9
    said = (
        f"{what[0].upper()}{what[1:]}, {slices} slices, from the command's start to the report in a fresh process, "
        f"{times(bench.rounds, 'round')}: {spread(one.seconds)} s, {peak:.2f} GB."
    )
    goals = [
        goal(f"head CT of {slices} slices, cold command to report, at most 8 s", one.median, 8),
        goal(f"head CT of {slices} slices under 1 GB", peak, 1),
    ]
    paragraphs = [said]
    for name, other in runs.items():
        if name != _THIS:
            paragraphs.append(
                f"Commit {name}: {spread(other.seconds)} s, {max(other.peak_bytes) / 1e9:.2f} GB; this tree takes "
                f"{one.median / other.median:.2f} of its time."
            )
    return Part({name: asdict(run) for name, run in runs.items()}, paragraphs, goals)


def source(bench: Bench) -> Part:
    """Time a PE study on the source's layout of weights against the source's own evaluation."""
    models = bench.source_models
    python = environment("tensorflow")
    if isinstance(models, Missing) or isinstance(python, Missing):
        why = models.reason if isinstance(models, Missing) else ""
        return Part(None, [f"Not measured: {why}."])
    study = bench.work / "source-study"
    write_chest_series(bench.samples["pe"], study, SOURCE_SLICES, step_mm=SOURCE_STEP_MM, window=SOURCE_WINDOW)
    table = bench.work / "source-answers.csv"
    program = [str(python), str(HERE / "source_program.py"), str(study), str(models / "slices.h5")]
    own = "the source's program"
    runs = {own: lambda: timed([*program, str(models / "sequence.h5"), str(table)])}
    trees = _trees(bench, study, "pe", models=True)
    rounds = max(1, bench.rounds - 1)
    found = by_turns({**runs, **trees}, rounds)
    rows = [["program", "files to answer, s", f"of {own}", "peak memory, GB", "gives"]]
    for name, one in found.items():
        gives = "a table of probabilities" if name == own else "finding, heat map, scene, pictures, report"
        told = f"commit {name}" if name not in (own, _THIS) else name
        share = one.median / found[own].median
        rows.append([told, spread(one.seconds), f"{share:.2f}", f"{max(one.peak_bytes) / 1e9:.2f}", gives])
    share = found[_THIS].median / found[own].median
    paragraphs = [
        f"A chest CT of {SOURCE_SLICES} slices of {SOURCE_STEP_MM:g} mm, 512×512, on the PE source's layout of weights "
        "(docs/sources.md 1: InceptionResNetV2 for one channel at 386 pixels a side, and LSTM), written by Keras with "
        "random weights such that about a third of the slices is positive. The source's program is rebuilt from its "
        "description: headers, lungs and heart by OpenCV, Keras on TensorFlow, a table. Fresh processes, "
        f"{times(rounds, 'round')} by turns; median (lowest to highest).",
        as_markdown(rows),
    ]
    goals = [goal("a PE study on the source's weights in at most 0.6 of the time of the source's program", share, 0.6)]
    return Part({name: asdict(one) for name, one in found.items()}, paragraphs, goals)


def growth(bench: Bench) -> Part:
    """Measure how time and memory grow with the slices of a chest CT."""
    chests, lines = measure_growth(bench.samples["pe"], bench.work / "growth", bench.slices)
    largest = chests[-1]
    paragraphs = [
        f"Detector pe, model {largest.model}, 512×512, slices {STEP_MM:g} mm apart, one run each, from DICOM files to "
        "finding, scene, pictures and report. Every 50 slices show a whole chest, so that nothing but their number "
        "changes. Peak memory is the most that the process held at once.",
        as_markdown(growth_table(chests)),
    ]
    if lines:
        paragraphs += ["A line of least squares through the times of all sizes:", as_markdown(line_table(lines))]
    if largest.peak_bytes_by_part:
        paragraphs += [f"Memory at {largest.slices} slices:", as_markdown(memory_table(largest))]
    peak = largest.peak_bytes / 1e9
    goals = [goal(f"chest CT of {largest.slices} slices under {MEMORY_GOAL_GB:g} GB", peak, MEMORY_GOAL_GB)]
    data = {"growth": [asdict(one) for one in chests], "fits": [asdict(line) for line in lines]}
    return Part(data, paragraphs, goals)


def reading(bench: Bench) -> Part:
    """Time the reading of JPEG-LS slices against SimpleITK."""
    folder = bench.data / "chest-ct-dicom"
    if not folder.is_dir():
        return Part(None, ["Not measured: the chest CT in JPEG-LS is not here (set ACUTEFINDINGS_DATA)."])
    command = [sys.executable, str(HERE / "reading.py"), str(folder), str(bench.rounds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    seconds, slices = answer["seconds"], answer["slices"]["AcuteFindings"]
    rows = [["by", "s"], *([name, spread(values)] for name, values in seconds.items())]
    share = median(seconds["AcuteFindings"]) / median(seconds["SimpleITK"])
    said = (
        f"A real chest CT of {slices} slices in JPEG-LS, files to volume in one process: median (lowest to highest) of "
        f"{times(bench.rounds, 'round')} by turns. AcuteFindings' reading checks geometry and identity as well."
    )
    text = f"reading {slices} JPEG-LS slices in at most 0.7 of SimpleITK's time"
    return Part(answer, [said, as_markdown(rows)], [goal(text, share, 0.7)])


def int8(bench: Bench) -> Part:
    """Try static quantization."""
    from quantized import measure_quantized

    return Part(*measure_quantized(bench.work / "int8", bench.data))


def public(bench: Bench) -> Part:
    """Time the recommended public models with random weights."""
    from public_models import measure_public

    return Part(*measure_public(bench.work / "public-models", bench.data, lambda: bench.samples, rounds=bench.rounds))


def batch(bench: Bench) -> Part:
    """Time batches against a plain loop, and by engine and workers."""
    from batch import measure_batch

    return Part(*measure_batch(bench.work, rounds=max(1, bench.rounds - 1)))


def serve(bench: Bench) -> Part:
    """Load the server with clients that upload and read at once."""
    from serve import measure_serve

    return Part(*measure_serve(bench.work))


PARTS: dict[str, tuple[str, Callable[[Bench], Part]]] = {
    "detectors": ("Each detector, end to end", detectors),
    "head": ("A head CT, cold", head),
    "source": ("A PE study on the source's weights, against the source's own program", source),
    "networks": ("Networks by runtime", networks),
    "crowd": ("Two processes at once", crowd),
    "public": ("Public models, with random weights", public),
    "int8": ("Static quantization to int8", int8),
    "batch": ("Batches", batch),
    "serve": ("The server with ten clients", serve),
    "growth": ("Growth with the slices of a chest CT", growth),
    "reading": ("Reading JPEG-LS", reading),
}


def _trees(
    bench: Bench, study: Path, detector: str, *, models: bool = False
) -> dict[str, Callable[[], tuple[float, int]]]:
    """Return what runs a study by this tree and by the other one, each with the models that it imported itself."""
    own = bench.imported() if models else None
    runs: dict[str, Callable[[], tuple[float, int]]] = {_THIS: lambda: run_study(study, detector, model=own)}
    if bench.against is not None:
        tree = bench.against
        other = bench.imported(tree) if models else None
        runs[commit_of(tree)] = lambda: run_study(study, detector, tree=tree, model=other)
    return runs


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.1f}"


def _ratio(one: NetworkTimes, above: str, below: str) -> str:
    first, second = one.median(above), one.median(below)
    return "–" if first is None or second is None else f"{first / second:.1f}"


def _missing(found: list[NetworkTimes]) -> str:
    said = dict.fromkeys(f"{name}: {why}" for one in found for name, why in one.missing.items())
    return f"Without figures: {'; '.join(said)}." if said else ""


def _data_folder() -> Path:
    return Path(os.environ.get("ACUTEFINDINGS_DATA", HERE.parents[2] / "shared" / "data"))
