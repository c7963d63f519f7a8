"""RADnet / DenseNet-A / DenseNet (docs/sources.md 4, table 1): what attention and LSTM add on head CT."""

from AcuteFindingsLib.evaluation.labels import roc_points
from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.training.recipes.read import read_recipe
from comparisons.arms import Place, Trained, arm_recipe, kept_items, taken, timed, train
from comparisons.figures import Answered, accuracy_difference, adjusted, auc_difference
from comparisons.plots import bars, canvas, roc, save
from comparisons.report import Page, shown

NAME = "hemorrhage"
# Name, recipe of this folder, and the shipped one that it cuts down, which holds the published figures.
ARMS = (
    ("DenseNet", "densenet-small", "densenet"),
    ("DenseNet-A", "densenet-a-small", "densenet-a"),
    ("RADnet", "radnet-small", "radnet"),
)
_METRICS = (
    ("Accuracy", "accuracy", "Accuracy, study"),
    ("Recall (sensitivity)", "sensitivity", "Sensitivity, study"),
    ("Precision (PPV)", "ppv", "PPV, study"),
    ("F1", "f1", "F1, study"),
)
_QUICK = (
    "data.phantoms={count: 14, seed: 61000, options: {matrix: 64, slice_spacing: 15.0}}",
    "preprocessing={pixel_mm: 5, size: 48, window_level: 40, window_width: 80}",
    "network.arguments.hidden=8",
    "stages.scan.epochs=1",
    "stages.scan.slices=3",
    "stages.scan.sampler.examples=4",
    "precision=32-true",
)


def run(place: Place) -> None:
    """Train the three networks on the same scans, measure them on the same further ones."""
    recipes = [(name, arm_recipe(file, _QUICK if place.quick else ())) for name, file, _ in ARMS]
    with timed(place.work / "times" / f"{NAME}-{place.quick}.json"):
        kept_items(recipes[0][1], place)
    arms = [train(name, recipe, place) for name, recipe in recipes]
    scans, slices = ([_answered(arm, level) for arm in arms] for level in ("study", "slice"))

    page = Page(NAME, "RADnet, DenseNet-A and DenseNet on head CT phantoms")
    _describe(page, arms, scans)
    decided = [one.decisions() for one in scans]
    areas = {"scan": [one.auc() for one in scans], "slice": [one.auc() for one in slices]}
    _table(page, arms, decided, areas)
    pairs = ((1, 0), (2, 1), (2, 0))
    page.say("The arms against each other, on the same scans:")
    page.differences(
        adjusted([accuracy_difference(scans[a], scans[b], "accuracy, scan") for a, b in pairs])
        + adjusted([auc_difference(scans[a], scans[b], "AUC, scan") for a, b in pairs])
        + [auc_difference(slices[a], slices[b], "AUC, slice") for a, b in pairs]
    )
    page.picture(f"{NAME}.png", "The four figures of the paper's table for the three networks, and their ROC curves")
    page.say("Time taken:")
    page.times(
        [
            ("phantoms and arrays", taken(place.work / "times" / f"{NAME}-{place.quick}.json")),
            *((arm.name, arm.taken) for arm in arms),
        ]
    )
    page.numbers["figures"] = {
        arm.name: {**{key: figures[key] for _, key, _ in _METRICS}, "auc_scan": scan, "auc_slice": by_slice}
        for arm, figures, scan, by_slice in zip(arms, decided, areas["scan"], areas["slice"], strict=True)
    }
    _draw(place, arms, decided, scans)
    page.write(place)


def _answered(arm: Trained, level: str) -> Answered:
    truth, score, patients = arm.answers(level)
    # A scan is positive where three neighboring slices are: held against the slices' operating point.
    return Answered(arm.name, truth, score, patients, arm.threshold("slice"))


def _published(number: int) -> dict[str, float]:
    return {one.metric: one.value for one in read_recipe(ARMS[number][2]).published}


def _describe(page: Page, arms: list[Trained], scans: list[Answered]) -> None:
    told, recipe = arms[0].told, arms[0].recipe
    plan = recipe.data.phantoms
    page.say(
        f"Computer-made head CT, {plan.count} scans (seeds from {plan.seed}), the same for all three networks: "
        f"{told['patients']['train']} to train, {told['patients']['validation']} to choose epoch and operating point, "
        f"{told['patients']['test']} kept aside ({int(scans[0].truth.sum())} with a bleed). Seed of weights and order: "
        f"{recipe.seed}. Recipes: {', '.join(f'`{file}.yaml`' for _, file, _ in ARMS)}."
    )
    page.say(f"All stand on `{recipe.network.arguments['backbone']}` from ImageNet; those published on DenseNet-40.")
    page.say("A scan is positive where three or more neighboring slices are. Published: 77 scans, 44 with a bleed.")


def _table(page: Page, arms: list[Trained], decided: list[dict[str, Figure]], areas: dict[str, list[Figure]]) -> None:
    rows, papers = [], [_published(number) for number in range(len(ARMS))]
    for words, key, metric in _METRICS:
        rows.append([words, *(shown(figures[key]) for figures in decided)])
        rows.append(["– published, on patients", *(f"{paper[metric]:.2f}" for paper in papers)])
    rows += [[f"AUC, {level}", *(shown(figure) for figure in figures)] for level, figures in areas.items()]
    count = len(arms[0].answers("study")[0])
    page.table([f"{count} scans, 95 % interval", *(arm.name for arm in arms)], rows)


def _draw(place: Place, arms: list[Trained], decided: list[dict[str, Figure]], scans: list[Answered]) -> None:
    drawing, axes = canvas(9.2, 3.5, 2, width_ratios=[1.75, 1])
    bars(
        axes[0],
        [words.split(" (")[0] for words, _, _ in _METRICS],
        [(arm.name, [figures[key] for _, key, _ in _METRICS]) for arm, figures in zip(arms, decided, strict=True)],
        published=[[_published(number)[metric] for _, _, metric in _METRICS] for number in range(len(arms))],
        label="Scans, 95 % interval",
    )
    roc(axes[1], [(one.name, roc_points(one.truth, one.score)) for one in scans], "Scans")
    save(drawing, place.results / f"{NAME}.png")
