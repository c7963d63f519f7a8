"""Public models with random weights of their exact names and shapes: what a study takes by each, and how well a
volume's estimate holds.

They are imported as a user imports them, from a local server that behaves as the hub does. Random weights compute as
long as the real ones; what they find says nothing.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.public.recommended import recommended
from measure import write_chest_series
from tables import as_markdown, spread, times

HERE = Path(__file__).parent
CTPA_SLICES = 400
MEMORY_GOAL_GB = 8.0
"""For 512×512×400, as the model's description asks."""

_IMPORT = """
import sys
from pathlib import Path
from AcuteFindingsLib.models.public import consent
from AcuteFindingsLib.models.public.hub import Hub
from AcuteFindingsLib.models.public.import_public import import_public
from AcuteFindingsLib.models.public.recommended import find_description
from hub_server import serve_hub
from random_repository import write_random_repository
name, folder = sys.argv[1], Path(sys.argv[2])
# What is agreed to here is not agreed to by the user.
consent.licenses_file = lambda: folder / "licenses.json"
description = find_description(name)
write_random_repository(description, folder / "repositories")
with serve_hub(folder / "repositories") as server:
    hub = Hub(endpoint=server.endpoint, cache=folder / "cache", offline=False)
    import_public(description, out=folder / "models" / name, agreed=True, compare=False, hub=hub)
"""


@dataclass(frozen=True)
class PublicRuns:
    """What one study took by one model.

    Attributes
    ----------
    model, study
        Which; the study in words.
    slices
        Of the study.
    seconds, network_seconds
        From files to report, and of the network alone, a number a round.
    estimates
        What the network was said to take before it began, a number a round; empty for a model that says nothing.
    peak_bytes
        Most resident memory of a process.
    """

    model: str
    study: str
    slices: int
    seconds: list[float]
    network_seconds: list[float]
    estimates: list[float]
    peak_bytes: int


def random_package(name: str, folder: Path) -> Path:
    """Import the model of a description with random weights, in a process of its own; returns its package."""
    package = folder / "models" / name
    if not package.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(HERE.parent / "Hub"), str(HERE)]
        command = f"import sys; sys.path[:0] = {paths!r}\n{_IMPORT}"
        subprocess.run([sys.executable, "-c", command, name, str(folder)], check=True)
    return package


def measure_study(study: Path, what: str, detector: str, package: Path, rounds: int) -> PublicRuns:
    """Run one study by a package, each round in a fresh process; the results are thrown away."""
    answers: list[dict[str, Any]] = []
    for _ in range(rounds):
        command = [sys.executable, str(HERE / "public_run.py"), str(study), detector, str(package)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    return PublicRuns(
        model=package.name,
        study=what,
        slices=answers[0]["slices"],
        seconds=[one["seconds"] for one in answers],
        network_seconds=[one["timings"]["network"] for one in answers],
        estimates=[one["estimate"] for one in answers if one["estimate"] is not None],
        peak_bytes=max(one["peak_bytes"] for one in answers),
    )


def measure_public(
    work: Path, data: Path, samples: Callable[[], dict[str, Path]], *, rounds: int
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Measure the recommended model of each detector; returns data, paragraphs and goals.

    Parameters
    ----------
    work
        Folder for files in between.
    data
        Folder of real images; where one is missing its phantom takes its place.
    samples
        Gives the positive sample of each detector as DICOM.
    rounds
        Of the radiograph and the head CT; volumes, which take minutes, are read once.
    """
    found: list[PublicRuns] = []
    missing: list[str] = []
    for detector, studies in _studies(work, data, samples).items():
        try:
            description = recommended(detector)
        except ModelError as error:
            missing.append(f"{detector}: {error}")
            continue
        package = random_package(description.id, work / "public")
        often = 1 if detector == "pe" else rounds
        found += [measure_study(study, what, detector, package, often) for what, study in studies.items()]
    rows = [["model", "study", "slices", "files to report, s", "network, s", "estimated, s", "peak memory, GB"]]
    for one in found:
        estimate = f"{median(one.estimates):.0f}" if one.estimates else "–"
        seconds = [spread(one.seconds), spread(one.network_seconds), estimate]
        rows.append([one.model, one.study, str(one.slices), *seconds, f"{one.peak_bytes / 1e9:.2f}"])
    paragraphs = [
        "The recommended public model of each detector with random weights of the exact names and shapes, imported "
        "from a local server that behaves as the hub does, in ONNX Runtime on the processor; each run in a fresh "
        f"process, without the start of Python: median (lowest to highest) of "
        f"{times(rounds, 'round')}, one of volumes.",
        as_markdown(rows),
    ]
    paragraphs += [f"Not measured: {'; '.join(missing)}"] if missing else []
    return [asdict(one) for one in found], paragraphs, _goals(found)


def _goals(found: list[PublicRuns]) -> list[str]:
    goals = []
    for one in found:
        if one.estimates:
            ratio = median(one.network_seconds) / median(one.estimates)
            met = "Met" if 0.5 <= ratio <= 2 else "Missed"
            goals.append(f"Goal: {one.study} by {one.model} within twice its estimate. {met}: {ratio:.2f} of it.")
        if one.slices >= CTPA_SLICES:
            peak = one.peak_bytes / 1e9
            met = "Met" if peak <= MEMORY_GOAL_GB else "Missed"
            goals.append(f"Goal: {one.study} by {one.model} under {MEMORY_GOAL_GB:g} GB. {met}: {peak:.2f}.")
    return goals


def _studies(work: Path, data: Path, samples: Callable[[], dict[str, Path]]) -> dict[str, dict[str, Path]]:
    """Return the studies of each detector by what they are."""
    radiograph = next(iter(sorted((data / "chest-xray-dicom").glob("*.dcm"))), None)
    head, cta = data / "head-ct-dicom", data / "cta-pulmonary-artery" / "ct_cropped.nii.gz"
    ctpa = work / "ctpa-400"
    if not ctpa.is_dir():
        write_chest_series(samples()["pe"], ctpa, CTPA_SLICES)
    return {
        "pneumothorax": (
            {"a real radiograph": radiograph} if radiograph else {"a phantom radiograph": samples()["pneumothorax"]}
        ),
        "hemorrhage": {"a real head CT": head} if head.is_dir() else {"a head CT phantom": samples()["hemorrhage"]},
        "pe": ({"a real CTA, cropped": cta} if cta.is_file() else {}) | {"a CTPA phantom": ctpa},
    }
