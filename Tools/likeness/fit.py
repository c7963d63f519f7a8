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
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "AcuteFindings"), str(Path(__file__).parent)]

from real_images import fitted_radiographs, head_picture, radiograph, read_gray  # noqa: E402
from versions import ct_version, radiograph_version  # noqa: E402

from AcuteFindingsLib.detectors.hemorrhage.features import LOOKED_AT  # noqa: E402
from AcuteFindingsLib.detectors.hemorrhage.features import features as head_features  # noqa: E402
from AcuteFindingsLib.detectors.pneumothorax.features import features as radiograph_features  # noqa: E402
from AcuteFindingsLib.detectors.registry import find_kind  # noqa: E402
from AcuteFindingsLib.models.package import read_package  # noqa: E402
from AcuteFindingsLib.models.task import load_reference  # noqa: E402
from AcuteFindingsLib.phantoms.as_study import phantom_study  # noqa: E402
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray  # noqa: E402
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa  # noqa: E402
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct  # noqa: E402
from AcuteFindingsLib.study.study import Study  # noqa: E402
from AcuteFindingsLib.trust.likeness import FORMAT_VERSION, PHANTOMS, ImageSet  # noqa: E402
from AcuteFindingsLib.trust.likeness_fit import fit_images  # noqa: E402

VERSIONS = {"pe": 5, "hemorrhage": 2, "pneumothorax": 5}
"""Altered ones of each phantom, besides that as it was drawn."""


def ctpa_phantom(seed: int) -> Study:
    """Return a chest CT phantom of a drawn matrix, spacing and enhancement."""
    rng = np.random.default_rng(seed)
    matrix = int(rng.choice([64, 96, 96, 128, 160, 200]))
    spacing = rng.choice([3.0, 4.0, 5.0, 6.0, 8.0, 10.0]) if matrix > 64 else rng.choice([5.0, 8.0, 10.0])
    contrast = rng.choice([None, None, None, None, None, 0, 120, 300])
    return phantom_study(make_ctpa(seed, matrix=matrix, slice_spacing=spacing, contrast=contrast))


def head_phantom(seed: int) -> Study:
    """Return a head CT phantom of a drawn matrix and spacing."""
    rng = np.random.default_rng(seed)
    matrix = int(rng.choice([64, 96, 128, 192, 256, 320]))
    return phantom_study(make_head_ct(seed, matrix=matrix, slice_spacing=rng.choice([None, 5.0, 5.0, 2.5, 8.0, 10.0])))


def radiograph_phantom(seed: int) -> Study:
    """Return a chest radiograph phantom of a drawn size."""
    return phantom_study(make_chest_xray(seed, size=int(np.random.default_rng(seed).choice([128, 192, 256, 512]))))


Draw = Callable[[int], Study]
Alter = Callable[[Study, np.random.Generator], Study]
DRAWN: dict[str, tuple[Draw, Alter, str]] = {
    "pe": (ctpa_phantom, ct_version, "computer-made CTPA phantoms"),
    "hemorrhage": (head_phantom, ct_version, "computer-made head CT phantoms"),
    "pneumothorax": (radiograph_phantom, radiograph_version, "computer-made chest radiographs"),
}
COUNTS = {"pe": 90, "hemorrhage": 120, "pneumothorax": 200}
TELLS_PHANTOMS = {"pe": True, "hemorrhage": False, "pneumothorax": False}
"""Whether the features tell every real image at hand from phantoms: not the real head CT, nor each of 361 films."""
SHIPPED = {
    "pe": {"pe-sequence-small": (PHANTOMS,)},
    "hemorrhage": {"hemorrhage-radnet-small": (PHANTOMS, "phantom-slices", "slices")},
    "pneumothorax": {"pneumothorax-unet-small": (PHANTOMS, "radiographs")},
}
STACK, SINGLE = ((LOOKED_AT, 2.0, 1000.0),), ((LOOKED_AT, 1.0, 1.0),)


Rows = list[dict[str, float]]


def phantom_rows(kind: str, seeds: list[int]) -> tuple[Rows, list[int], Rows]:
    """Return features of phantoms and their versions, of which phantom each is, and features of a slice of each."""
    draw, alter, _ = DRAWN[kind]
    measure = load_reference(find_kind(kind).features)
    rows, groups, slices = [], [], []
    for number, seed in enumerate(seeds):
        study, rng = draw(seed), np.random.default_rng(seed + 10**6)
        rows += [measure(study), *(measure(alter(study, rng)) for _ in range(VERSIONS[kind]))]
        groups += [number] * (1 + VERSIONS[kind])
        if kind == "hemorrhage":
            slices.append(measure(single_slice(study, rng)))
    return rows, groups, slices


def single_slice(study: Study, rng: np.random.Generator) -> Study:
    """Return a slice of a stack, from where brain is, as a study of its own."""
    k = int(len(study.array) * rng.uniform(0.35, 0.85))
    return replace(study, array=study.array[k : k + 1], sources=study.sources[k : k + 1])


def fit_pe(seeds: list[int], _data: Path | None) -> list[ImageSet]:
    """Fit chest CT phantoms: the shipped PE model saw nothing else."""
    rows, groups, _ = phantom_rows("pe", seeds)
    return [fit_images(rows, name=PHANTOMS, told=DRAWN["pe"][2], groups=groups)]


def fit_hemorrhage(seeds: list[int], data: Path | None) -> list[ImageSet]:
    """Fit head CT phantoms as stacks and as slices, and the real slices that the shipped model was fitted to."""
    told = DRAWN["hemorrhage"][2]
    rows, groups, slices = phantom_rows("hemorrhage", seeds)
    sets = [
        fit_images(rows, name=PHANTOMS, told=told, groups=groups, holds=STACK),
        fit_images(slices, name="phantom-slices", told=f"slices of {told}", kept=0.97, holds=SINGLE),
    ]
    if data is not None:
        pictures = sorted((data / "head-ct-slices" / "images").glob("*.png"))
        rows = [head_features(head_picture(read_gray(one))) for one in pictures]
        license = "not stated (Head CT - hemorrhage, F. Kitamura); means and scatter only"
        sets.append(fit_images(rows, name="slices", told="real head CT slices", kept=0.97, license=license))
    return sets


def fit_pneumothorax(seeds: list[int], data: Path | None) -> list[ImageSet]:
    """Fit radiograph phantoms, and real frontal radiographs: those the model saw some of, and half of those of NIH."""
    rows, groups, _ = phantom_rows("pneumothorax", seeds)
    sets = [fit_images(rows, name=PHANTOMS, told=DRAWN["pneumothorax"][2], groups=groups)]
    if data is not None:
        rows, groups = [], []
        for picture, patient in fitted_radiographs(data):
            study = radiograph(read_gray(picture))
            rng = np.random.default_rng(len(rows))
            rows += [radiograph_features(study), radiograph_features(radiograph_version(study, rng))]
            groups += [patient, patient]
        license = "CC BY-NC-SA (covid-chestxray-dataset); NIH Clinical Center (ChestX-ray14); means and scatter only"
        told = "people with real frontal radiographs"
        sets.append(fit_images(rows, name="radiographs", told=told, kept=0.98, groups=groups, license=license))
    return sets


FIT = {"pe": fit_pe, "hemorrhage": fit_hemorrhage, "pneumothorax": fit_pneumothorax}


def main() -> None:
    """Fit one kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(FIT))
    parser.add_argument("--count", type=int, help="phantoms, seeds from 0; by default as many as ship")
    parser.add_argument("--data", type=Path, help="folder of the real images; without it phantoms alone")
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Likeness")
    asked = parser.parse_args()
    sets = FIT[asked.kind](list(range(asked.count or COUNTS[asked.kind])), asked.data)
    names = {one.name for one in sets}
    models = {
        read_package(ROOT / "Resources" / "Models" / model).sha256: [name for name in made_from if name in names]
        for model, made_from in SHIPPED[asked.kind].items()
    }
    told = TELLS_PHANTOMS[asked.kind]
    written = [one.to_dict() for one in sets]
    data = {"format": FORMAT_VERSION, "tells_phantoms": told, "models": models, "sets": written}
    asked.out.mkdir(parents=True, exist_ok=True)
    target = asked.out / f"{asked.kind}.json"
    target.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for one in sets:
        print(f"{target.name}: {one.name}, {one.count} images, {len(one.features)} features, limit {one.limit:.2f}")


if __name__ == "__main__":
    main()
