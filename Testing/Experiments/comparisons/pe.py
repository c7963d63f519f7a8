"""Slice model alone / + LSTM (docs/sources.md 1): what the neighboring slices of a CTPA add."""

from collections.abc import Sequence

import numpy as np
import torch

from AcuteFindingsLib.evaluation.labels import roc_points
from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold
from AcuteFindingsLib.models.runtime.torch_weights import load_network
from AcuteFindingsLib.training.recipes.read import read_recipe
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.module import input_range
from comparisons.arms import Place, Trained, arm_recipe, kept_items, taken, timed, train
from comparisons.figures import Answered, accuracy_difference, adjusted, auc_difference
from comparisons.plots import canvas, roc, save
from comparisons.report import Page, shown

NAME = "pe"
ALONE, SEQUENCE = "slice model alone", "+ LSTM"
_METRICS = (
    ("AUC", "auc", "AUC, study"),
    ("Specificity", "specificity", "Specificity, study"),
    ("Sensitivity", "sensitivity", "Sensitivity, study"),
    ("Accuracy", "accuracy", ""),
    ("PPV", "ppv", ""),
    ("NPV", "npv", ""),
)
_LEVELS = (("study", "stack"), ("slice", "slice"))
_BATCH = 32
_QUICK = (
    "data.phantoms={count: 14, seed: 61000, options: {matrix: 64, slice_spacing: 10.0}}",
    "data.split={folds: 1, validation: 0.34, test: 0.34}",
    "preprocessing={size: 64, slice_mm: 10, channels: 1, crop: true}",
    "network.arguments.encoder.backbone=test_resnet",
    "network.arguments.encoder.pretrained=false",
    "stages.slice.epochs=1",
    "stages.slice.batch=4",
    "stages.slice.sampler.examples=8",
    "stages.sequence.epochs=1",
    "stages.sequence.batch=4",
)


def run(place: Place) -> None:
    """Fit encoder and LSTM once; let the encoder's own output answer, then the LSTM over the same encodings."""
    recipe = arm_recipe("pe-small", _QUICK if place.quick else ())
    prepared, alone_time = (place.work / "times" / f"{NAME}-{part}-{place.quick}.json" for part in ("arrays", "alone"))
    with timed(prepared):
        kept_items(recipe, place)
    arm = train(SEQUENCE, recipe, place)
    with timed(alone_time):
        alone = _alone(arm, place)
    sequence = {level: Answered(SEQUENCE, *arm.answers(level), arm.threshold(level)) for level, _ in _LEVELS}

    page = Page(NAME, "PE: the slice model alone, and with the LSTM over its encodings")
    _describe(page, arm, sequence["study"])
    figures = {
        level: [{**one[level].decisions(), "auc": one[level].auc()} for one in (alone, sequence)]
        for level, _ in _LEVELS
    }
    _tables(page, figures, alone, sequence)
    page.say("The two against each other, on the same phantoms:")
    page.differences(
        [
            *adjusted(
                [
                    auc_difference(sequence["study"], alone["study"], "AUC, stack"),
                    accuracy_difference(sequence["study"], alone["study"], "accuracy, stack"),
                ]
            ),
            auc_difference(sequence["slice"], alone["slice"], "AUC, slice"),
        ]
    )
    page.picture(f"{NAME}.png", "ROC curves of the slice model alone and with LSTM, by stack and by slice")
    page.say("Time taken:")
    page.times(
        [
            ("phantoms and arrays", taken(prepared)),
            ("slice model, encodings and LSTM", arm.taken),
            ("answers of the slice model alone", taken(alone_time)),
        ]
    )
    page.numbers["figures"] = {
        level: dict(zip((ALONE, SEQUENCE), found, strict=True)) for level, found in figures.items()
    }
    drawing, axes = canvas(7.4, 3.7, 2)
    for drawn, (level, words) in zip(axes, _LEVELS, strict=True):
        curves = [(one[level].name, roc_points(one[level].truth, one[level].score)) for one in (alone, sequence)]
        roc(drawn, curves, f"By {words}")
    save(drawing, place.results / f"{NAME}.png")
    page.write(place)


def _alone(arm: Trained, place: Place) -> dict[str, Answered]:
    """Return what the slice model says by itself; a stack is as suspicious as its most suspicious slice."""
    network = load_network(arm.package)
    found = {part: _slices(network, arm, kept_items(arm.recipe, place, part=part)) for part in ("validation", "test")}
    answers = {}
    for level, choose in (("slice", f1_threshold), ("study", youden_threshold)):
        both = {part: _at(level, slices) for part, slices in found.items()}
        truth, score, patients = both["test"]
        answers[level] = Answered(ALONE, truth, score, patients, choose(*both["validation"][:2]))
    return answers


def _slices(network: torch.nn.Module, arm: Trained, items: Sequence[Item]) -> list[tuple[Item, np.ndarray]]:
    low, high = input_range(arm.recipe)
    answers = []
    with torch.inference_mode():
        for item in items:
            parts = [
                network.encode(  # type: ignore[operator]
                    torch.from_numpy(item.images(slice(start, start + _BATCH)).copy())[:, None].float()
                    / 255
                    * (high - low)
                    + low
                )["slice"]
                for start in range(0, item.count, _BATCH)
            ]
            answers.append((item, torch.cat(parts)[:, 0].sigmoid().numpy()))
    return answers


def _at(level: str, slices: list[tuple[Item, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if level == "study":
        return (
            np.array([bool((item.labels[:, 0] >= 0.5).any()) for item, _ in slices]),
            np.array([score.max() for _, score in slices]),
            np.array([item.patient for item, _ in slices]),
        )
    return (
        np.concatenate([item.labels[:, 0] >= 0.5 for item, _ in slices]),
        np.concatenate([score for _, score in slices]),
        np.concatenate([np.full(item.count, item.patient) for item, _ in slices]),
    )


def _describe(page: Page, arm: Trained, stacks: Answered) -> None:
    told, plan = arm.told, arm.recipe.data.phantoms
    page.say(
        f"Computer-made CTPA, {plan.count} studies (seeds from {plan.seed}): {told['patients']['train']} to train, "
        f"{told['patients']['validation']} to choose epochs and operating points, {told['patients']['test']} kept "
        f"aside ({int(stacks.truth.sum())} with embolism, {told['pictures']['test']} slices). Seed of weights and "
        f"order: {arm.recipe.seed}. Recipe: `pe-small.yaml`."
    )
    page.say(
        "One slice model is fitted and answers twice: by its own output (a stack is as suspicious as its most "
        "suspicious slice), and through the LSTM that reads its encodings, as in the paper. Operating points: Youden's "
        "index for stacks, highest F1 for slices, both on the validation part. The paper gives figures for the LSTM "
        "only; models A and B differ in the weights that the slice model starts from."
    )


def _tables(
    page: Page,
    figures: dict[str, list[dict[str, Figure]]],
    alone: dict[str, Answered],
    sequence: dict[str, Answered],
) -> None:
    papers = {name: {one.metric: one.value for one in read_recipe(f"pe-model-{name}").published} for name in ("a", "b")}
    for level, words in _LEVELS:
        head = [f"By {words}, n = {len(sequence[level].truth)}, 95 % interval", ALONE, SEQUENCE]
        rows = [[name, *(shown(one[key]) for one in figures[level])] for name, key, _ in _METRICS]
        if level == "study":
            head += ["published, model A", "published, model B"]
            for row, (_, _, metric) in zip(rows, _METRICS, strict=True):
                row += [
                    f"{paper[metric]:.2f}" if metric in paper else "not in the sources" for paper in papers.values()
                ]
        page.table(head, rows)
