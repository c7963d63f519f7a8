"""What the look of the head CT slices alone tells, beside the cross-validated answers of a run.

`training/hemorrhage-radnet-small` holds the run of the recipe. Size, border and histogram of a picture tell much of its
answer in this set; a neutral version (cropped to the head, black outside the skull, of one size) takes that away. Each
slice is answered, as in the run, by a model that was fitted to neither it nor its near-duplicates. The tables are
measured with ``acutefindings evaluate TABLE --truth DATA/labels.csv``.
"""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from sklearn.ensemble import RandomForestClassifier

from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.data.read import read_data

TASK = "hemorrhage"
NEUTRAL_SIZE = 256


def look(image: np.ndarray) -> np.ndarray:
    """Return size, border and histogram of a picture ``(y, x)`` in 0..1; nothing of anatomy."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    histogram = np.histogram(image, bins=32, range=(0, 1))[0] / image.size
    return np.array([*image.shape, border.mean(), border.std(), *histogram], np.float32)


def main(
    data: Annotated[Path, typer.Option(help="Folder of the labeled slices.")],
    run: Annotated[Path, typer.Option(help="Folder of the recipe's run.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
) -> None:
    """Write `neutral.csv` and `baseline.csv`: a probability of hemorrhage for each slice."""
    table = read_data("head-slices", data).require_usable()
    requirements = kind_of_task(TASK).requirements
    studies = {one.key: read_study(one.source, requirements=requirements) for one in table.examples if one.source}
    truth = np.array([one.labels[table.main_label] == 1 for one in table.examples])
    looks = np.stack([look(studies[key].array[0]) for key in table.keys])
    scores: dict[str, dict[str, float]] = {"neutral": {}, "baseline": {}}
    for fold in sorted(run.glob("run-0/fold-*")):
        with (fold / "predictions-slice.csv").open(newline="", encoding="utf-8") as stream:
            kept = [row["image"] for row in csv.DictReader(stream)]
        aside = np.isin(table.keys, kept)
        forest = RandomForestClassifier(500, random_state=0).fit(looks[~aside], truth[~aside])
        scores["baseline"] |= dict(zip(table.keys[aside], forest.predict_proba(looks[aside])[:, 1], strict=True))
        scorer = find_task(TASK).load_scorer()(load_predictor(read_package(fold / "model"), device="cpu"))
        for key in kept:
            neutral = neutral_head(studies[key].array[0], NEUTRAL_SIZE)[None]
            scores["neutral"][key] = scorer.score([replace(studies[key], array=neutral)]).probabilities[0, 0]
    out.mkdir(parents=True, exist_ok=True)
    for name, values in scores.items():
        with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("image", table.main_label))
            writer.writerows((key, repr(float(value))) for key, value in sorted(values.items()))


if __name__ == "__main__":
    typer.run(main)
