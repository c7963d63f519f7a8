"""What the pneumothorax detector's shortcut check says of a model, picture by picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.pneumothorax.detector import PneumothoraxDetector
from AcuteFindingsLib.evaluation.operating_points import proportion
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.find import default_package
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.training.cache import DiskCache
from comparisons.arms import Trained
from comparisons.planted import Tubes, drawn, planted_phantom
from comparisons.report import Page, shown

# The first three rest on the model's own answers; the last only says that a chest drain is there.
LEANING = ("shortcut-outside-lungs", "shortcut-not-lungs-alone", "shortcut-leans-on-tubes")
CODES = (*LEANING, "shortcut-chest-drain")
_WORDS = {
    "shortcut-outside-lungs": "still positive with the lungs removed",
    "shortcut-not-lungs-alone": "falls when only the lungs are shown",
    "shortcut-leans-on-tubes": "falls when the tubes are covered",
    "shortcut-chest-drain": "a chest drain is seen, covering it does little",
}
_WHOLE = "whole picture"
_SHOWN = (_WHOLE, "lungs only", "lungs removed", "tubes covered")
_PREFIX = "Pneumothorax probability, "


@dataclass(frozen=True)
class Asked:
    """One picture: what is in it, what the detector's probabilities were, and which shortcut warnings it gave."""

    seed: int
    positive: bool
    tube: bool
    called: bool
    probabilities: dict[str, float]
    warnings: list[str]


def ask(arm: Trained, seeds: Sequence[int], tubes: Tubes, *, size: int, work: Path) -> list[Asked]:
    """Run the detector, with the lungs and chest models that ship, on phantoms; what was asked before is read again."""
    # Only what ships: a model that somebody imported would change the answer.
    helpers = {task: default_package(task, cache=work / "no-models") for task in ("lungs", "chest")}  # type: ignore[arg-type]
    versions = [f"{one.id} {one.version}" for one in helpers.values()]
    file = DiskCache(work / "checks", _one).path(arm.folder.name, list(seeds), tubes, size, versions, suffix=".json")
    if not file.is_file():
        detector = PneumothoraxDetector(
            load_predictor(arm.package, device="cpu"),
            **{task: load_predictor(one, device="cpu") for task, one in helpers.items()},
        )
        answers = [_one(detector, seed, tubes, size) for seed in seeds]
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_written(file) as partial:
            partial.write_text(json.dumps([asdict(one) for one in answers]) + "\n", encoding="utf-8")
    return [Asked(**one) for one in json.loads(file.read_text(encoding="utf-8"))]


def check_table(page: Page, asked: dict[tuple[str, str], list[Asked]]) -> None:
    """Add how often each warning came, by what is in the picture."""
    page.say(
        "The pneumothorax detector runs the two models of whole pictures with its shortcut check, as the module does "
        "(lungs and tubes found by the models that ship). How often each warning came, 95 % interval (Wilson):"
    )
    rows, numbers = [], {}
    for (model, words), answers in asked.items():
        for group, kept in _groups(answers):
            shares = {code: proportion(sum(code in one.warnings for one in kept), len(kept)) for code in CODES}
            shares["leans"] = proportion(sum(_leans(one) for one in kept), len(kept))
            numbers[f"{model} / {words} / {group}"] = shares
            cells = [shown(one) for one in shares.values()]
            rows.append([model, words, f"{group} ({len(kept)})", *cells])
    page.numbers["warnings"] = numbers
    heads = [*_WORDS.values(), "any of the first three"]
    page.table(["Trained on", "Pictures", "With (n)", *heads], rows)


def probability_table(page: Page, asked: dict[tuple[str, str], list[Asked]]) -> None:
    """Add the mean probabilities that the warnings rest on."""
    page.say("Mean probability of a pneumothorax that the detector gave, by what it was shown:")
    rows, numbers = [], {}
    for (model, words), answers in asked.items():
        for group, kept in _groups(answers):
            means = {}
            for view in _SHOWN:
                values = [one.probabilities[view] for one in kept if view in one.probabilities]
                means[view] = float(np.mean(values)) if values else None
            numbers[f"{model} / {words} / {group}"] = means
            cells = ["" if value is None else f"{value:.2f}" for value in means.values()]
            rows.append([model, words, f"{group} ({len(kept)})", *cells])
    page.numbers["probabilities"] = numbers
    page.table(["Trained on", "Pictures", "With (n)", *_SHOWN], rows)


def _one(detector: PneumothoraxDetector, seed: int, tubes: Tubes, size: int) -> Asked:
    finding = detector.run(phantom_study(planted_phantom(seed, tubes, size=size)))
    positive, tube = drawn(seed, tubes)
    stated = {
        one.name.removeprefix(_PREFIX): float(one.value) for one in finding.measurements if one.name.startswith(_PREFIX)
    }
    return Asked(
        seed=seed,
        positive=positive,
        tube=tube,
        called=stated[_WHOLE] >= detector.threshold,
        probabilities=stated,
        warnings=[one.code for one in finding.warnings if one.code in CODES],
    )


def _leans(one: Asked) -> bool:
    return any(code in one.warnings for code in LEANING)


def _groups(answers: Sequence[Asked]) -> list[tuple[str, list[Asked]]]:
    named = (
        ("pneumothorax and tube", True, True),
        ("pneumothorax, no tube", True, False),
        ("tube, no pneumothorax", False, True),
        ("neither", False, False),
    )
    groups = [
        (words, [one for one in answers if one.positive == positive and one.tube == tube])
        for words, positive, tube in named
    ]
    groups.append(("all called positive", [one for one in answers if one.called]))
    return [(words, kept) for words, kept in groups if kept]
