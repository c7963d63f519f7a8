#!/usr/bin/env python3
"""Measures how many suitable studies are lost by likeness, and how many unsuitable ones are told (docs/trust.md).

``python Tools/likeness/measure.py pe --data DATA`` prints a table in Markdown: for each set of studies how many the
check refuses, how many of the others are unlike the shipped model's images, and how many would get a plain verdict,
with the 95 % interval of the share (Wilson). Phantoms are of seeds that the fit did not see, radiographs of patients.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "AcuteFindings"), str(Path(__file__).parent)]

from fit import DRAWN, SHIPPED, single_slice  # noqa: E402
from real_images import head_picture, nih_radiographs, radiograph, read_gray  # noqa: E402
from versions import ct_version, radiograph_version, with_array  # noqa: E402

from AcuteFindingsLib.detectors.registry import find_kind  # noqa: E402
from AcuteFindingsLib.models.package import read_package  # noqa: E402
from AcuteFindingsLib.phantoms.as_study import phantom_study  # noqa: E402
from AcuteFindingsLib.phantoms.chest_xray.generate import VARIANTS as RADIOGRAPH_VARIANTS  # noqa: E402
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray  # noqa: E402
from AcuteFindingsLib.phantoms.ctpa.generate import make_ctpa  # noqa: E402
from AcuteFindingsLib.phantoms.ctpa.marks import VARIANTS as CTPA_VARIANTS  # noqa: E402
from AcuteFindingsLib.phantoms.head_ct.generate import make_head_ct  # noqa: E402
from AcuteFindingsLib.phantoms.head_ct.variants import VARIANTS as HEAD_VARIANTS  # noqa: E402
from AcuteFindingsLib.study.checks import check_study  # noqa: E402
from AcuteFindingsLib.study.coarse import box_means  # noqa: E402
from AcuteFindingsLib.study.notice import refusals  # noqa: E402
from AcuteFindingsLib.study.reader import read_study  # noqa: E402
from AcuteFindingsLib.study.study import Study  # noqa: E402
from AcuteFindingsLib.trust.likeness import likeness_of  # noqa: E402

FIRST_SEED = 1000
VERSIONS = 20
Sets = Iterator[tuple[str, bool, list[Study]]]

VOLUMES = ("cta-pulmonary-artery/ct_cropped.nii.gz", "chest-ct-dicom", "head-ct-dicom")


def volumes(data: Path) -> dict[str, Study]:
    """Return the real CT volumes at hand, by what they are."""
    names = ("CT angiogram of the chest", "chest CT without contrast", "head CT")
    return {name: read_study(data / place) for name, place in zip(names, VOLUMES, strict=True)}


def versions(study: Study, count: int = VERSIONS) -> list[Study]:
    """Return a volume as it is and in versions, those of large ones on a coarser grid."""
    coarse = study
    if study.array.size > 5_000_000:
        steps = [max(1, round(2.0 / step)) for step in study.spacing]
        small = study.array[:: steps[0], :: steps[1], :: steps[2]]
        coarse = with_array(study, small, tuple(s * n for s, n in zip(study.spacing, steps, strict=True)))
    return [study, *(ct_version(coarse, np.random.default_rng(seed)) for seed in range(count))]


def pe_sets(data: Path, count: int) -> Sets:
    """Phantoms are suitable; every real volume is not, as the model was made from phantoms alone."""
    draw, alter, _ = DRAWN["pe"]
    drawn = [draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + count)]
    yield "phantoms not fitted to", True, drawn
    yield "versions of them", True, [alter(one, np.random.default_rng(n)) for n, one in enumerate(drawn)]
    few = range(FIRST_SEED, FIRST_SEED + max(2, count // 8))
    varied = [make_ctpa(s, matrix=128, slice_spacing=5.0, variants=(v,)) for s in few for v in CTPA_VARIANTS]
    yield "phantoms with mimics", True, [phantom_study(one) for one in varied]
    for name, study in volumes(data).items():
        yield f"real {name} and versions", False, versions(study)


def hemorrhage_sets(data: Path, count: int) -> Sets:
    """Head CT is suitable; other parts, other images and heads in other windows are not."""
    draw, alter, _ = DRAWN["hemorrhage"]
    drawn = [draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + count)]
    yield "phantoms not fitted to", True, drawn
    yield "versions of them", True, [alter(one, np.random.default_rng(n)) for n, one in enumerate(drawn)]
    yield "slices of them", True, [single_slice(one, np.random.default_rng(n)) for n, one in enumerate(drawn)]
    few = range(FIRST_SEED, FIRST_SEED + max(2, count // 8))
    varied = [make_head_ct(s, matrix=192, slice_spacing=5.0, variants=(v,)) for s in few for v in HEAD_VARIANTS]
    yield "phantoms with mimics", True, [phantom_study(one) for one in varied]
    real = volumes(data)
    head = real.pop("head CT")
    yield "real head CT and versions", True, versions(head)
    brain = range(len(head.array) // 3, 5 * len(head.array) // 6)
    slices = [head_picture(np.clip(head.array[k] / 80, 0, 1)) for k in brain]
    yield "its slices as pictures", True, slices
    for name, study in real.items():
        yield f"real {name} and versions", False, versions(study, 8)
    yield "chest radiographs", False, [head_picture(one) for one in radiographs(data)]
    pictures = [read_gray(path) for path in sorted((data / "head-ct-slices" / "images").glob("*.png"))]
    yield "real head slices, inverted", False, [head_picture(1 - one) for one in pictures]
    yield (
        "head slices in a bone window",
        False,
        [head_picture(np.clip((head.array[k] + 450) / 1500, 0, 1)) for k in brain],
    )
    yield "photographs, drawings, screenshots", False, [head_picture(one) for one in other_pictures()]


def pneumothorax_sets(data: Path, count: int) -> Sets:
    """Frontal radiographs are suitable; other views, parts and pictures are not."""
    draw, alter, _ = DRAWN["pneumothorax"]
    drawn = [draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + 4 * count)]
    yield "phantoms not fitted to", True, drawn
    yield "versions of them", True, [alter(one, np.random.default_rng(n)) for n, one in enumerate(drawn)]
    few = range(FIRST_SEED, FIRST_SEED + count)
    varied = [make_chest_xray(s, size=256, variants=(v,)) for s in few for v in RADIOGRAPH_VARIANTS]
    yield "phantoms with mimics", True, [phantom_study(one) for one in varied]
    nih = [radiograph(read_gray(path)) for path, _ in nih_radiographs(data, odd=True)]
    yield "real radiographs (NIH), patients not fitted to", True, nih
    again = [radiograph_version(one, np.random.default_rng(n)) for n, one in enumerate(nih)]
    yield "versions of them", True, again
    siim = [read_study(path) for path in sorted((data / "chest-xray-dicom").glob("*.dcm"))]
    yield "real radiographs (SIIM)", True, siim
    films = radiographs(data)
    yield "real radiographs, inverted", False, [radiograph(1 - one) for one in films]
    yield "turned by 90°", False, [radiograph(np.rot90(one).copy()) for one in films]
    yield "turned by 180°", False, [radiograph(one[::-1, ::-1].copy()) for one in films]
    real = volumes(data)
    yield "lateral projections of a chest CT", False, projections(real["chest CT without contrast"], axis=2)
    heads = [radiograph(read_gray(path)) for path in sorted((data / "head-ct-slices" / "images").glob("*.png"))]
    yield "head CT slices", False, heads
    planes = [
        study.array[k] for study in real.values() for k in range(0, len(study.array), max(1, len(study.array) // 12))
    ]
    yield "slices of CT volumes", False, [radiograph(np.clip((one + 1000) / 1400, 0, 1)) for one in planes]
    yield "photographs, drawings, screenshots", False, [radiograph(one) for one in other_pictures()]


SETS: dict[str, Callable[[Path, int], Sets]] = {
    "pe": pe_sets,
    "hemorrhage": hemorrhage_sets,
    "pneumothorax": pneumothorax_sets,
}


def radiographs(data: Path) -> list[np.ndarray]:
    """Return the real frontal radiographs ``(y, x)``."""
    return [read_gray(path) for path in sorted((data / "chest-xray-lungs" / "images").glob("*.png"))]


def projections(study: Study, *, axis: int) -> list[Study]:
    """Return drawn radiographs of parts of a CT along an axis: bone bright, air dark."""
    hu = box_means(study.array, study.spacing, 2.0)
    found = []
    for part in range(8):
        dense = np.clip((hu[4 * part :] + 1000) / 1000, 0, 3).sum(axis=axis)
        found.append(radiograph(1 - np.exp(-dense[::-1] / dense.mean()).astype(np.float32)))
    return found


def other_pictures() -> list[np.ndarray]:
    """Return pictures that packages at hand bring along: photographs, drawings, screenshots."""
    import matplotlib
    import skimage
    import sklearn

    places = [
        (Path(matplotlib.__file__).parent, "mpl-data/**/*.*g"),
        (Path(skimage.__file__).parent, "data/*.*g"),
        (Path(sklearn.__file__).parent, "datasets/images/*.jpg"),
        (ROOT, "docs/**/*.png"),
        (ROOT, "Resources/Screenshots/*.png"),
    ]
    paths = [path for folder, pattern in places for path in sorted(folder.glob(pattern)) if path.suffix != ".svg"]
    pictures = [read_gray(path) for path in paths]
    return [one for one in pictures if min(one.shape) >= 100]


def main() -> None:
    """Print the table of one kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(SETS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--count", type=int, default=60, help="phantoms")
    asked = parser.parse_args()
    kind = find_kind(asked.kind)
    package = read_package(ROOT / "Resources" / "Models" / next(iter(SHIPPED[asked.kind])))
    print("| studies | count | refused | unlike | plain verdict | share with one (95 %) |\n|---|---|---|---|---|---|")
    total = {True: [0, 0], False: [0, 0]}

    def line(name: str, refused: int, unlike: int, plain: int, count: int) -> None:
        low, high = binomtest(plain, count).proportion_ci(method="wilson")
        share = f"{plain / count:.3f} ({low:.3f} to {high:.3f})"
        print(f"| {name} | {count} | {refused} | {unlike} | {plain} | {share} |", flush=True)

    for name, suitable, studies in SETS[asked.kind](asked.data, asked.count):
        refused = [bool(refusals(check_study(one, kind.requirements))) for one in studies]
        labels = [likeness_of(one, kind=kind, package=package).label for one in studies]
        unlike = [label == "unlike" for label in labels]
        plain = sum(not r and not u for r, u in zip(refused, unlike, strict=True))
        total[suitable][0] += plain
        total[suitable][1] += len(studies)
        line(f"{'suitable' if suitable else 'unsuitable'}: {name}", sum(refused), sum(unlike), plain, len(studies))
    for suitable, (plain, count) in total.items():
        line(f"all {'suitable' if suitable else 'unsuitable'}", 0, 0, plain, count)


if __name__ == "__main__":
    main()
