"""Findings drawn into real images, written as data sets to measure a model on (docs/drawn-findings.md)."""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk
import typer
from PIL import Image

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.grid import place_image
from AcuteFindingsLib.study.itk_files import write_image
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.data.load import load_image, load_mask
from AcuteFindingsLib.training.data.read import read_data
from AcuteFindingsLib.training.lesions.angiograms import draw_angiograms
from AcuteFindingsLib.training.lesions.radiographs import draw_findings
from AcuteFindingsLib.training.recipes.read import read_recipe
from AcuteFindingsLib.training.runs.data import drawn, parts

SEED = 900_000
RECIPE = Path(__file__).parent / "recipes" / "pneumothorax-unet-small.yaml"
Data = Annotated[Path, typer.Option(help="Folder of the real images.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]

app = typer.Typer(add_completion=False)


@app.command()
def radiographs(data: Data, out: Out, count: Annotated[int, typer.Option(min=2)] = 96) -> None:
    """Draw pneumothorax, tubes and mimics into radiographs of patients whom the recipe keeps aside."""
    recipe = read_recipe(RECIPE)
    table = parts(recipe, drawn(recipe, read_data("lung-masks", data).require_usable()), 0).test
    rows = []
    for number, child in enumerate(np.random.SeedSequence(SEED).spawn(count)):
        example = table.example(number % len(table))
        image = load_image(example)
        lungs = load_mask(example, image.shape)
        assert lungs is not None
        # Each picture with and without a pneumothorax by turns.
        positive = sum(divmod(number, len(table))) % 2 == 0
        found = draw_findings(np.random.default_rng(child), image, lungs, positive=positive)
        name = f"{number:03d}.png"
        for part, values in (("images", found.image), ("masks", found.mask)):
            (out / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)).save(out / part / name)
        rows.append((name, example.patient, int(found.mask.any())))
    _write(out / "labels.csv", ("image", "patient", "pneumothorax"), rows)


@app.command()
def angiograms(data: Data, out: Out, count: Annotated[int, typer.Option(min=2)] = 24) -> None:
    """Draw clots into the pulmonary artery of the one CT angiogram; every other volume has some."""
    study = read_study(data / "ct_cropped.nii.gz", requirements=find_kind("pe").requirements)
    artery = read_study(data / "pulmonary_artery.nii.gz", requirements=find_kind("pe").requirements).array > 0.5
    rows = []
    for number, one in enumerate(draw_angiograms(study, artery, count=count, seed=SEED)):
        name = f"{number:03d}.nii.gz"
        image = sitk.GetImageFromArray(one.study.array)
        place_image(image, one.study.ijk_to_ras)
        out.mkdir(parents=True, exist_ok=True)
        write_image(image, out / name, compressed=True)
        rows.append((name, int(bool(one.kinds)), " ".join(one.kinds)))
    _write(out / "labels.csv", ("image", "pe", "kinds"), rows)


def _write(path: Path, head: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    print(f"{path}: {len(rows)} images")


if __name__ == "__main__":
    app()
