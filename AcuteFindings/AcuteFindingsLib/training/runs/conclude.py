"""The end of a fold: operating points chosen, figures measured, tables, pictures and the package written."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Interval, OperatingPoint, Picture
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.recipes.data_plans import DATA
from AcuteFindingsLib.training.recipes.schema import Phantoms, Recipe
from AcuteFindingsLib.training.runs.data import PHANTOMS, Parts, RunData, people
from AcuteFindingsLib.training.runs.items import Item
from AcuteFindingsLib.training.runs.measure import choose_points, default_points, measure
from AcuteFindingsLib.training.runs.package import make_card, published_table, write_model
from AcuteFindingsLib.training.runs.predictions import write_answers
from AcuteFindingsLib.training.runs.score import Scored, score_items
from AcuteFindingsLib.training.runs.store import units
from AcuteFindingsLib.training.runs.summary import FOLD
from AcuteFindingsLib.training.stages.cross_validation import keep_answers, read_answers, without_looking
from AcuteFindingsLib.training.stages.evidence import write_evidence

MODEL = "model"
EVERYBODY = "all"
"""The fold in whose place stands the fit to everybody, after a cross-validation."""

Chosen = Mapping[str, Sequence[Item]]


@dataclass(frozen=True)
class Turn:
    """One fold of one run.

    Attributes
    ----------
    fold
        From 0, or `EVERYBODY`.
    validated_in
        Of a fit to everybody: the folders of the folds whose answers measure it.
    """

    run: int
    fold: int | str
    folder: Path
    seed: int
    validated_in: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """What was said of `items`, whose they are in words, and the figures of it at the operating points chosen."""

    points: list[OperatingPoint]
    scored: Scored
    items: Sequence[Item]
    words: str
    figures: list[Interval]


def conclude(
    network: nn.Module,
    recipe: Recipe,
    data: RunData,
    part: Parts,
    chosen: Chosen,
    turn: Turn,
    *,
    stages: Sequence[dict[str, Any]],
    command: str,
    version: str,
    root: Path,
    phantoms: Callable[[Phantoms, str], list[Item]],
    tell: Callable[[str], None],
    progress: Progress,
) -> None:
    """Choose operating points, measure, write tables, pictures and the package, and mark the fold as done.

    Parameters
    ----------
    chosen
        Items of the parts ``"train"``, ``"validation"`` and ``"test"``.
    stages
        What `fit_stage` said of each.
    command, version
        For the card and the package.
    root
        Folder of the run.
    phantoms
        Makes the items of phantoms, for operating points and figures; takes their plan and what they are for.
    """
    who = "phantoms" if data.table.kind == PHANTOMS else "patients"
    epochs = ", ".join(f"{stage['stage']} {stage['epochs']}" for stage in stages)
    facts: dict[str, Any] = {
        "trained_on": data.words[:1].upper() + data.words[1:],
        "count": f"{people(part.train)} {who}, {_fitted_to(chosen['train'])}; epochs: {epochs}",
        "phantoms_only": data.phantoms_only,
    }
    judge = _Judge(network, recipe, facts, command, phantoms, progress)
    if turn.validated_in:
        # Corrections and what was mixed in were fitted to, and answered by nobody.
        answered = units(part.train, series=recipe.reads_series)
        items = [item for item in chosen["train"] if item.source == DATA and item.key in answered]
        judged = judge.cross_validated(items, turn, f"{count_words(items)} of {people(part.train)} {who}")
    else:
        aside = "with drawn findings, kept aside" if recipe.data.drawn_aside else "kept aside"
        judged = judge.kept_aside(chosen, f"{people(part.test)} {who} {aside}, of {data.words}")
        if recipe.data.split.fit_all:
            keep_answers(judged.scored, turn.folder)
    tables = write_answers(recipe, judged.scored, turn.folder)
    documents = {
        path.name.replace("predictions", "cross-validation"): path.read_bytes() for path in tables if turn.validated_in
    }
    pictures: list[Picture] = []
    if recipe.evidence:
        pictures, files = write_evidence(
            recipe.evidence, judged.scored, judged.items, judged.points, turn.folder, who=judged.words
        )
        documents |= files
    card = make_card(recipe, points=judged.points, evaluation=judged.figures, pictures=pictures, **facts)
    package = write_model(
        network,
        recipe,
        card,
        turn.folder / MODEL,
        version=version,
        text=published_table(recipe, judged.figures),
        documents=documents,
    )
    written = {
        "run": turn.run,
        "fold": turn.fold,
        "seed": turn.seed,
        "stages": list(stages),
        "patients": {name: people(getattr(part, name)) for name in ("train", "validation", "test")},
        "pictures": {name: sum(item.count for item in items) for name, items in chosen.items()},
        "operating_points": [point.model_dump() for point in judged.points],
        "evaluation": [figure.model_dump() for figure in judged.figures],
        "model": str(package.folder.relative_to(root)),
    }
    with replace_when_written(turn.folder / FOLD) as partial:
        partial.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    for figure in judged.figures:
        tell(f"  {figure.metric}: {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), n = {figure.count}")


def count_words(items: Sequence[Item]) -> str:
    """Return how many images, or series and slices, there are, in words."""
    pictures = sum(item.count for item in items)
    return f"{len(items)} series with {pictures} slices" if pictures > len(items) else f"{pictures} images"


def _fitted_to(items: Sequence[Item]) -> str:
    """Return how many images of the data set there are, and beside them of each source that is mixed in, in words."""
    sources: dict[str, list[Item]] = {DATA: []}
    for item in items:
        sources.setdefault(item.source, []).append(item)
    own = count_words(sources.pop(DATA))
    return "; ".join((own, *(f"mixed in, {name}: {count_words(of)}" for name, of in sources.items())))


@dataclass(frozen=True)
class _Judge:
    """Chooses operating points and measures; `facts` are what `make_card` needs besides."""

    network: nn.Module
    recipe: Recipe
    facts: Mapping[str, Any]
    command: str
    phantoms: Callable[[Phantoms, str], list[Item]]
    progress: Progress

    def kept_aside(self, chosen: Chosen, words: str) -> _Judged:
        """Choose operating points on the validation part and measure on the test part."""
        validation = chosen["validation"]
        where = (
            f"the validation part, {count_words(validation)}, that the weights were not fitted to" if validation else ""
        )
        points = self._points([self._scored(validation)] if validation else [], where)
        scored = self._scored(chosen["test"], points)
        return _Judged(points, scored, chosen["test"], words, self._figures(scored, points, words))

    def cross_validated(self, items: Sequence[Item], turn: Turn, words: str) -> _Judged:
        """Choose operating points and measure on what the folds' networks said of those whom they had not seen."""
        words = f"{words}, each by a network that saw nothing of its patient ({len(turn.validated_in)} folds)"
        scored = read_answers(turn.validated_in)
        points = self._points([scored], f"the answers of the cross-validation, {words}")
        figures = self._figures(scored, points, words, chosen_here=True)
        if any(figure.metric.startswith("CWCE") for figure in figures):
            figures += without_looking(turn.validated_in, "study", data=words, command=self.command)
        return _Judged(points, scored, items, words, figures)

    def _points(self, scored: list[Scored], where: str) -> list[OperatingPoint]:
        plan = self.recipe.data.tuned_on
        if plan is not None:
            scored = [*scored, self._scored(self.phantoms(plan, "operating points"))]
            where = f"{where}, and on {_seeds(plan)} alike" if where else _seeds(plan)
        return choose_points(self.recipe, scored, where=where)

    def _figures(
        self, scored: Scored, points: list[OperatingPoint], words: str, *, chosen_here: bool = False
    ) -> list[Interval]:
        figures = measure(self.recipe, scored, points, data=words, command=self.command, chosen_here=chosen_here)
        plan = self.recipe.data.measured_on
        if plan is None:
            return figures
        answers = self._scored(self.phantoms(plan, "figures"), points)
        further = measure(self.recipe, answers, points, data=_seeds(plan), command=self.command)
        return [*figures, *(one.model_copy(update={"metric": f"{one.metric}, phantoms"}) for one in further)]

    def _scored(self, items: Sequence[Item], points: Sequence[OperatingPoint] = ()) -> Scored:
        card = make_card(self.recipe, points=points or default_points(self.recipe), evaluation=[], **self.facts)
        return score_items(self.network, self.recipe, card, items, self.progress)


def _seeds(plan: Phantoms) -> str:
    return f"{plan.count} phantoms that nothing was fitted to, seeds {plan.seed} to {plan.seed + plan.count - 1}"
