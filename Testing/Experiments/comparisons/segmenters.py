"""The four segmenters of docs/sources.md 3: U-Net, U-Net on DenseNet121, with dropout, without augmentation."""

from itertools import combinations

import numpy as np

from AcuteFindingsLib.evaluation.comparison import compare_masks
from AcuteFindingsLib.evaluation.masks import CONVENTION, dice
from AcuteFindingsLib.evaluation.schema import Figure, MaskRow
from AcuteFindingsLib.training.recipes.read import read_recipe
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.score import Scored
from comparisons.arms import Place, Trained, answers_of, arm_recipe, kept_items, taken, timed, train
from comparisons.figures import Answered, Difference, adjusted, mean_of, pooled_share
from comparisons.plots import COLORS, bars, canvas, picture, save
from comparisons.report import Page, shown

NAME = "segmenters"
# Name, recipe of this folder, and the shipped one that it cuts down, which holds the published figure.
ARMS = (
    ("U-Net", "segmenter-unet-small", "pneumothorax-unet"),
    ("U-Net-DenseNet121", "segmenter-densenet121-small", "pneumothorax-unet-densenet121"),
    ("with dropout", "segmenter-densenet121-dropout-small", "pneumothorax-unet-densenet121-dropout"),
    (
        "without augmentation",
        "segmenter-densenet121-no-augmentation-small",
        "pneumothorax-unet-densenet121-no-augmentation",
    ),
)
_EXAMPLES = 4
_TRUTH = "#e2a100"
_QUICK = (
    "data.phantoms={count: 20, seed: 61000, options: {size: 64}}",
    "preprocessing={size: 32, mean: 0.5, std: 0.25}",
    "stages.segment.epochs=1",
    "stages.segment.batch=4",
    "stages.segment.sampler.examples=8",
    "precision=32-true",
)


def run(place: Place) -> None:
    """Train the four segmenters on the same radiographs, measure them on the same further ones."""
    prepared, measured = (place.work / "times" / f"{NAME}-{part}-{place.quick}.json" for part in ("arrays", "answers"))
    recipes = [(name, arm_recipe(file, _changes(file) if place.quick else ())) for name, file, _ in ARMS]
    with timed(prepared):
        kept_items(recipes[0][1], place)
    arms = [train(name, recipe, place) for name, recipe in recipes]
    items = kept_items(arms[0].recipe, place, part="test")
    with timed(measured):
        scored = [answers_of(arm, items) for arm in arms]
    rows = [_rows(arm, found) for arm, found in zip(arms, scored, strict=True)]
    found = [_figures(arm, own, answers) for arm, own, answers in zip(arms, rows, scored, strict=True)]

    page = Page(NAME, "The four pneumothorax segmenters on radiograph phantoms")
    _describe(page, arms[0], rows[0])
    published = [read_recipe(shipped).published[0].value for _, _, shipped in ARMS]
    page.table(
        [
            "95 % interval",
            "Dice, mean of all",
            "Dice, all pixels at once",
            "Dice, mean of those with a pneumothorax",
            "Kept empty",
            "AUC of presence",
            "Dice, published",
        ],
        [
            [arm.name, *(shown(one) for one in figures.values()), f"{value:.2f}"]
            for arm, figures, value in zip(arms, found, published, strict=True)
        ],
    )
    page.say("The arms against each other, on the same radiographs:")
    page.differences(_differences(arms, rows, shown_only=False) + _differences(arms, rows, shown_only=True))
    page.picture(f"{NAME}.png", "Dice of the four segmenters")
    page.picture(f"{NAME}-outlines.png", "Their outlines on the first phantoms with a pneumothorax")
    page.say("Time taken:")
    page.times(
        [
            ("phantoms and arrays", taken(prepared)),
            *((arm.name, arm.taken) for arm in arms),
            ("answers", taken(measured)),
        ]
    )
    page.numbers["figures"] = {arm.name: figures for arm, figures in zip(arms, found, strict=True)}
    _draw(place, arms, found, published, items, scored)
    page.write(place)


def _changes(file: str) -> tuple[str, ...]:
    return _QUICK if file == "segmenter-unet-small" else (*_QUICK, "network.arguments.encoder=resnet18")


def _rows(arm: Trained, scored: Scored) -> list[MaskRow]:
    threshold = arm.threshold("mask")
    rows = []
    for one in scored.masks:
        mask = one.soft >= 255 * threshold
        size, true = float(mask.sum()), float(one.truth.sum())
        rows.append(MaskRow(image=one.key, dice=dice(one.truth, mask), true_size=true, size=size))
    return rows


def _figures(arm: Trained, rows: list[MaskRow], scored: Scored) -> dict[str, Figure]:
    values = np.array([row.dice for row in rows])
    pixels = np.array([row.true_size + row.size for row in rows])
    # Dice times both sizes is twice what they share; where both are empty nothing is.
    pooled = pooled_share(values * pixels, pixels)
    there = np.array([row.true_size > 0 for row in rows])
    empty = np.array([row.size == 0 for row in rows])
    answers = scored.levels["study"]
    presence = Answered(arm.name, answers.truth[:, 0] >= 0.5, answers.score[:, 0], answers.patients, 0.5)
    return {
        "dice_all": mean_of(values),
        "dice_pooled": pooled,
        "dice_with_finding": mean_of(values[there]),
        "kept_empty": mean_of(empty[~there]),
        "auc_presence": presence.auc(),
    }


def _differences(arms: list[Trained], rows: list[list[MaskRow]], *, shown_only: bool) -> list[Difference]:
    what = "Dice, with a pneumothorax" if shown_only else "Dice, all"
    found = []
    for (arm_a, a), (arm_b, b) in combinations(zip(arms, rows, strict=True), 2):
        kept = [row for row in a if row.true_size > 0 or not shown_only]
        compared = compare_masks(NAME, kept, b)
        if compared is None:
            continue
        first = compared.difference.intervals[0] if compared.difference.intervals else None
        found.append(
            Difference(
                pair=f"{arm_a.name} − {arm_b.name}",
                what=what,
                value=compared.difference.value,
                low=first.low if first else None,
                high=first.high if first else None,
                method="Wilcoxon; interval by paired bootstrap",
                p_value=compared.p_value,
            )
        )
    return adjusted(found)


def _describe(page: Page, arm: Trained, rows: list[MaskRow]) -> None:
    told, plan = arm.told, arm.recipe.data.phantoms
    page.say(
        f"Computer-made radiographs, {plan.count} (seeds from {plan.seed}), the same for all four: "
        f"{told['patients']['train']} to train, {told['patients']['validation']} to choose epoch and mask threshold, "
        f"{told['patients']['test']} kept aside ({sum(row.true_size > 0 for row in rows)} with a pneumothorax), "
        f"{arm.recipe.preprocessing['size']} pixels per side. Seed of weights and order: {arm.recipe.seed}. Recipes: "
        f"{', '.join(f'`{file}.yaml`' for _, file, _ in ARMS)}."
    )
    page.say(
        f"{CONVENTION} The published figure is Keras's over the batches of the validation part; whether it is counted "
        "picture by picture is not stated, and Dice over all pixels at once comes closest to it. The variant with "
        "dropout has no augmentation either, as published."
    )


def _draw(
    place: Place,
    arms: list[Trained],
    found: list[dict[str, Figure]],
    published: list[float],
    items: list[Item],
    scored: list[Scored],
) -> None:
    drawing, axes = canvas(9.2, 3.2, 1)
    bars(
        axes[0],
        [arm.name for arm in arms],
        [
            ("mean of all", [figures["dice_all"] for figures in found]),
            ("mean of those with a pneumothorax", [figures["dice_with_finding"] for figures in found]),
            ("all pixels at once", [figures["dice_pooled"] for figures in found]),
        ],
        published=[[None] * len(arms), [None] * len(arms), published],
        label="Dice, 95 % interval",
    )
    save(drawing, place.results / f"{NAME}.png")
    positives = [number for number, one in enumerate(scored[0].masks) if one.truth.any()][:_EXAMPLES]
    drawing, axes = canvas(9.2, 2.6, _EXAMPLES)
    for drawn, number in zip(axes, positives, strict=False):
        outlines = [(scored[0].masks[number].truth[0], _TRUTH)]
        outlines += [
            (answers.masks[number].soft[0] >= 255 * arm.threshold("mask"), color)
            for arm, answers, color in zip(arms, scored, COLORS, strict=False)
        ]
        picture(drawn, items[number].images()[0], items[number].patient, outlines)
    for drawn in axes[len(positives) :]:
        drawn.set_axis_off()
    for name, color in [("true", _TRUTH), *zip((arm.name for arm in arms), COLORS, strict=False)]:
        axes[0].plot([], [], color=color, label=name)
    drawing.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    save(drawing, place.results / f"{NAME}-outlines.png")
