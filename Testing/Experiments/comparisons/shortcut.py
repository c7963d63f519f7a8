"""Whole / lungs only / lungs removed (docs/sources.md 5) with planted tracheostomy tubes as a shortcut; its check."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.training.runs.items import Item
from comparisons.arms import Place, Trained, answers_of, arm_recipe, kept_items, taken, timed, train
from comparisons.figures import Answered, adjusted, auc_difference, independent_difference
from comparisons.planted import BY_CHANCE, PLANTED, Tubes, drawn, planted_folder
from comparisons.plots import bars, canvas, picture, save
from comparisons.report import Page, shown
from comparisons.shortcut_check import ask, check_table, probability_table

NAME = "shortcut"
REGIONS = ("whole", "lungs only", "lungs removed")
FILES = {"whole": "shortcut-whole", "lungs only": "shortcut-lungs-only", "lungs removed": "shortcut-lungs-removed"}
CONTROL = "whole, tubes by chance"
_SETS = ("like those trained on", "with tubes by chance")
_QUICK = (
    "preprocessing={size: 64, mean: 0.5, std: 0.25}",
    "network.arguments.encoder=resnet18",
    "network.arguments.pretrained=false",
    "stages.segment.epochs=1",
    "stages.segment.batch=4",
    "stages.segment.sampler.examples=8",
)


@dataclass(frozen=True)
class _Sizes:
    """How many phantoms are trained and measured on, and from which seed on."""

    first: int = 60_000
    count: int = 300
    first_apart: int = 70_000
    apart: int = 120
    pixels: int = 192


_SMALL = _Sizes(first=61_000, count=24, first_apart=71_000, apart=8, pixels=96)


@dataclass(frozen=True)
class _Folders:
    planted: Path
    by_chance: Path
    apart: Path


def run(place: Place) -> None:
    """Train on three regions with the shortcut and on whole pictures without it; measure with and without it."""
    sizes = _SMALL if place.quick else _Sizes()
    times = {
        part: place.work / "times" / f"{NAME}-{part}-{place.quick}.json" for part in ("phantoms", "answers", "check")
    }
    changes = _QUICK if place.quick else ()
    with timed(times["phantoms"]):
        folders = _folders(place, sizes)
    arms = {name: train(name, arm_recipe(file, changes), place, data=folders.planted) for name, file in FILES.items()}
    arms[CONTROL] = train(CONTROL, arm_recipe("shortcut-by-chance", changes), place, data=folders.by_chance)
    with timed(times["answers"]):
        found = _answers(arms, place, folders)
    with timed(times["check"]):
        asked = _check(arms, place, sizes, folders)

    page = Page(NAME, "Whole pictures, lungs only, lungs removed: a planted tracheostomy tube as shortcut")
    _describe(page, arms, sizes, found)
    _tables(page, found)
    _tests(page, found)
    page.picture(f"{NAME}.png", "AUC with and without the shortcut, and what each model was shown")
    page.say("## The shortcut check")
    check_table(page, asked)
    probability_table(page, asked)
    page.say("Time taken:")
    page.times(
        [
            ("phantoms", taken(times["phantoms"])),
            *((name, arm.taken) for name, arm in arms.items()),
            ("answers", taken(times["answers"])),
            ("shortcut check", taken(times["check"])),
        ]
    )
    _draw(place, arms, found, folders)
    page.write(place)


_Answers = dict[tuple[str, str, str], Answered]
"""By arm, set, and region shown."""


def _folders(place: Place, sizes: _Sizes) -> _Folders:
    seeds = range(sizes.first, sizes.first + sizes.count)
    apart = range(sizes.first_apart, sizes.first_apart + sizes.apart)
    return _Folders(
        planted=planted_folder(place.work, seeds, PLANTED, size=sizes.pixels, workers=place.workers),
        by_chance=planted_folder(place.work, seeds, BY_CHANCE, size=sizes.pixels, workers=place.workers),
        apart=planted_folder(place.work, apart, BY_CHANCE, size=sizes.pixels, workers=place.workers),
    )


def _answers(arms: dict[str, Trained], place: Place, folders: _Folders) -> _Answers:
    found: _Answers = {}
    for region in REGIONS:
        recipe = arms[region].recipe
        like = kept_items(recipe, place, data=folders.planted, part="test")
        apart = kept_items(recipe, place, data=folders.apart)
        for name in REGIONS:
            for words, items in zip(_SETS, (like, apart), strict=True):
                found[name, words, region] = _answered(arms[name], items)
        if region == "whole":
            own = kept_items(arms[CONTROL].recipe, place, data=folders.by_chance, part="test")
            for words, items in zip(_SETS, (own, apart), strict=True):
                found[CONTROL, words, region] = _answered(arms[CONTROL], items)
    return found


def _answered(arm: Trained, items: list[Item]) -> Answered:
    answers = answers_of(arm, items).levels["study"]
    truth = answers.truth[:, 0] >= 0.5
    return Answered(arm.name, truth, answers.score[:, 0], answers.patients, arm.threshold("study"))


def _check(arms: dict[str, Trained], place: Place, sizes: _Sizes, folders: _Folders) -> dict[tuple[str, str], list]:
    """Let the module's detector run both models of whole pictures, with its warnings."""
    like = [item.patient for item in kept_items(arms["whole"].recipe, place, data=folders.planted, part="test")]
    sets: dict[str, tuple[list[int], Tubes]] = {
        _SETS[0]: ([int(name.rsplit("-", 1)[1]) for name in like], PLANTED),
        _SETS[1]: (list(range(sizes.first_apart, sizes.first_apart + sizes.apart)), BY_CHANCE),
    }
    asked = {}
    for model, words in (("whole", _SETS[0]), ("whole", _SETS[1]), (CONTROL, _SETS[1])):
        seeds, tubes = sets[words]
        asked[model, words] = ask(arms[model], seeds, tubes, size=sizes.pixels, work=place.work)
    return asked


def _describe(page: Page, arms: dict[str, Trained], sizes: _Sizes, found: _Answers) -> None:
    told, recipe = arms["whole"].told, arms["whole"].recipe
    apart = found["whole", _SETS[1], "whole"]
    like = found["whole", _SETS[0], "whole"]
    tubes = sum(drawn(seed, BY_CHANCE)[1] for seed in range(sizes.first_apart, sizes.first_apart + sizes.apart))
    page.say(
        f"Computer-made radiographs, {sizes.count} (seeds from {sizes.first}), half with a small apical pneumothorax. "
        f"Planted: a tracheostomy tube in {PLANTED.with_pneumothorax:.0%} of those with and {PLANTED.without:.0%} of "
        f"those without one. {told['patients']['train']} train, {told['patients']['validation']} choose epoch and "
        f"operating point, {told['patients']['test']} are kept aside ({int(like.truth.sum())} with a pneumothorax): "
        f"pictures like those trained on. {sizes.apart} further ones (seeds from {sizes.first_apart}, "
        f"{int(apart.truth.sum())} with a pneumothorax, {tubes} with a tube) have tubes by chance: there a tube says "
        "nothing."
    )
    page.say(
        f"Every model is a classifier on EfficientNet-Lite0, {recipe.preprocessing['size']} pixels per side. Shown are "
        f"whole pictures, the lungs only, or the pictures with the lungs black (outlines: the phantoms' own). The "
        f"fourth model saw whole pictures of the same pneumothoraces with tubes by chance. Seed of weights and order: "
        f"{recipe.seed}. Recipes: {', '.join(f'`{file}.yaml`' for file in FILES.values())}, `shortcut-by-chance.yaml`."
    )


def _tables(page: Page, found: _Answers) -> None:
    areas = {key: one.auc() for key, one in found.items()}
    page.numbers["auc"] = {" / ".join(key): area for key, area in areas.items()}
    page.say("Each model on what it was made for:")
    rows = []
    for name in (*REGIONS, CONTROL):
        region = "whole" if name == CONTROL else name
        own = [areas[name, words, region] for words in _SETS]
        drop = independent_difference(name, "", found[name, _SETS[1], region], found[name, _SETS[0], region])
        change = "not defined" if drop.value is None else f"{drop.value:+.2f} ({drop.low:+.2f} to {drop.high:+.2f})"
        rows.append([f"trained on {name}", *(shown(one) for one in own), change])
    counts = [len(found["whole", words, "whole"].truth) for words in _SETS]
    head = [f"AUC, pictures {words} (n = {count})" for words, count in zip(_SETS, counts, strict=True)]
    page.table(["95 % interval", *head, "Change"], rows)
    for words, count in zip(_SETS, counts, strict=True):
        page.say(f"As in the paper, each model shown each region; AUC on the {count} pictures {words}:")
        page.table(
            ["", *(f"shown {region}" for region in REGIONS)],
            [[f"trained on {name}", *(shown(areas[name, words, region]) for region in REGIONS)] for name in REGIONS],
        )


def _tests(page: Page, found: _Answers) -> None:
    page.say("The models against each other, each on what it was made for, on the same pictures:")
    differences = []
    for words in _SETS:
        own = [found[name, words, name] for name in REGIONS]
        if words == _SETS[1]:
            own.append(found[CONTROL, words, "whole"])
        differences += adjusted([auc_difference(a, b, f"AUC, pictures {words}") for b, a in combinations(own, 2)])
    page.differences(differences)


def _draw(place: Place, arms: dict[str, Trained], found: _Answers, folders: _Folders) -> None:
    drawing, axes = canvas(9.6, 3.1, 4, width_ratios=[2.5, 1, 1, 1])
    names = (*REGIONS, CONTROL)
    series: list[tuple[str, list[Figure | None]]] = [
        (words, [found[name, words, "whole" if name == CONTROL else name].auc() for name in names]) for words in _SETS
    ]
    bars(
        axes[0],
        ["whole", "lungs only", "lungs\nremoved", "whole, tubes\nby chance"],
        series,
        label="AUC, 95 % interval",
    )
    axes[0].axhline(0.5, color="#566473", linewidth=0.8, linestyle=(0, (2, 3)))
    example = None
    for drawn_on, region in zip(axes[1:], REGIONS, strict=True):
        items = {
            item.patient: item for item in kept_items(arms[region].recipe, place, data=folders.planted, part="test")
        }
        example = example or _first_with_tube(items)
        picture(drawn_on, items[example].images()[0], f"{region}")
    save(drawing, place.results / f"{NAME}.png")


def _first_with_tube(items: dict[str, Item]) -> str:
    names = sorted(items)
    seen = [name for name in names if all(drawn(int(name.rsplit("-", 1)[1]), PLANTED))]
    return (seen or names)[0]
