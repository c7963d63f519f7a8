#!/usr/bin/env python3
"""Fits what images of the shipped models have in common: writes ``Resources/Likeness/KIND.json`` (docs/trust.md).

``python Tools/likeness/fit.py pe`` draws phantoms as the kind's generator does, each as drawn and in several versions
(`versions.py`), measures the kind's features and fits them. Nothing of an image is written, only means and scatter over
all of them.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "AcuteFindings"), str(Path(__file__).parent)]

from versions import ct_version  # noqa: E402

from AcuteFindingsLib.detectors.registry import find_kind  # noqa: E402
from AcuteFindingsLib.models.package import read_package  # noqa: E402
from AcuteFindingsLib.models.task import load_reference  # noqa: E402
from AcuteFindingsLib.phantoms.as_study import phantom_study  # noqa: E402
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa  # noqa: E402
from AcuteFindingsLib.study.study import Study  # noqa: E402
from AcuteFindingsLib.trust.likeness import FORMAT_VERSION, PHANTOMS  # noqa: E402
from AcuteFindingsLib.trust.likeness_fit import fit_images  # noqa: E402

VERSIONS = 5
"""Altered ones of each phantom, besides that as it was drawn."""


def ctpa_phantom(seed: int) -> Study:
    """Return a chest CT phantom of a drawn matrix, spacing and enhancement."""
    rng = np.random.default_rng(seed)
    matrix = int(rng.choice([64, 96, 96, 128, 160, 200]))
    spacing = rng.choice([3.0, 4.0, 5.0, 6.0, 8.0, 10.0]) if matrix > 64 else rng.choice([5.0, 8.0, 10.0])
    contrast = rng.choice([None, None, None, None, None, 0, 120, 300])
    return phantom_study(make_ctpa(seed, matrix=matrix, slice_spacing=spacing, contrast=contrast))


DRAWN: dict[str, tuple[Callable[[int], Study], Callable[[Study, np.random.Generator], Study], str]] = {
    "pe": (ctpa_phantom, ct_version, "computer-made CTPA phantoms"),
}
SHIPPED = {"pe": {"pe-sequence-small": (PHANTOMS,)}}


def phantom_rows(kind: str, seeds: list[int]) -> tuple[list[dict[str, float]], list[int]]:
    """Return the features of phantoms and their versions, and the number of the phantom that each row is of."""
    draw, alter, _ = DRAWN[kind]
    measure = load_reference(find_kind(kind).features)
    rows, groups = [], []
    for number, seed in enumerate(seeds):
        study, rng = draw(seed), np.random.default_rng(seed + 10**6)
        rows += [measure(study), *(measure(alter(study, rng)) for _ in range(VERSIONS))]
        groups += [number] * (1 + VERSIONS)
    return rows, groups


def main() -> None:
    """Fit one kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(DRAWN))
    parser.add_argument("--count", type=int, default=180, help="phantoms, seeds from 0")
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Likeness")
    asked = parser.parse_args()
    rows, groups = phantom_rows(asked.kind, list(range(asked.count)))
    sets = [fit_images(rows, name=PHANTOMS, told=DRAWN[asked.kind][2], groups=groups)]
    models = {
        read_package(ROOT / "Resources" / "Models" / model).sha256: list(names)
        for model, names in SHIPPED[asked.kind].items()
    }
    data = {"format": FORMAT_VERSION, "models": models, "sets": [one.to_dict() for one in sets]}
    asked.out.mkdir(parents=True, exist_ok=True)
    target = asked.out / f"{asked.kind}.json"
    target.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for one in sets:
        print(f"{target}: {one.name}, {one.count} images, {len(one.features)} features, limit {one.limit:.2f}")


if __name__ == "__main__":
    main()
