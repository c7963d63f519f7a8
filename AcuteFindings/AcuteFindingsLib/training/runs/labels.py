"""Which labels a recipe trains on, and as its card states them."""

from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.models.metadata import Label
from AcuteFindingsLib.models.task import KnownLabel
from AcuteFindingsLib.networks.pe import EXAM_LABELS
from AcuteFindingsLib.training.recipes.schema import Recipe


def trained_labels(recipe: Recipe) -> tuple[str, ...]:
    """Return the labels of each slice or image that a recipe trains on, in the order of the network's outputs."""
    if recipe.data.labels is not None:
        return recipe.data.labels
    arguments, known = recipe.network.arguments, tuple(label.name for label in recipe.model_task.labels)
    if recipe.stages.scan:
        return known[: int(arguments.get("labels", len(known)))]
    if recipe.stages.findings:
        return (*arguments.get("pathologies", ()), *arguments.get("tubes", ()))
    return known[:1] if recipe.model_task.probabilities else ()


def has_exam_head(recipe: Recipe) -> bool:
    """Whether the network gives the labels of a whole exam too (as the sequence network does unless told not to)."""
    return recipe.stages.sequence is not None and bool(
        recipe.network.arguments.get("sequence", {}).get("exam_head", True)
    )


def card_labels(recipe: Recipe) -> list[Label]:
    """Return the labels as a model card states them."""
    names = list(trained_labels(recipe)) or [recipe.model_task.main_label]
    if has_exam_head(recipe):
        names += EXAM_LABELS
    return [label_of(name) for name in names]


def label_of(name: str) -> Label:
    """Return a label with its meaning and code, as a task of some detector knows it; else the name means itself."""
    known = (one for task in model_tasks().values() for one in task.labels if one.name == name)
    label = next(known, KnownLabel(name, name.replace("_", " ").capitalize()))
    return Label(name=name, meaning=label.meaning, code=label.code)
