"""How well it is known what a model can do: lists show models with more evidence first, figures with their origin.

Works on a card as JSON holds it (`models.metadata.Card`) with the standard library alone: panels list models before any
package is installed.
"""

from collections.abc import Mapping
from typing import Any

SAW_PATIENTS, SAW_PATIENTS_UNMEASURED, SAW_SOME, SAW_PHANTOMS = range(4)
"""Ranks of `evidence_rank`: a lower one stands first."""


def evidence_rank(card: Mapping[str, Any]) -> int:
    """Return where a model stands in lists by what it was trained on and whether anybody states how good it is.

    First those trained on what they are asked about, with figures (`SAW_PATIENTS`) and without; then demonstration
    models that saw patients, though not what they are asked about (`Card.never_saw`); then those trained on phantoms
    alone.
    """
    if card["training_data"]["phantoms_only"]:
        return SAW_PHANTOMS
    if card.get("never_saw"):
        return SAW_SOME
    return SAW_PATIENTS if card.get("published") or card.get("evaluation") else SAW_PATIENTS_UNMEASURED


def figures(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a model's figures in words, each with its origin: those of its authors first, then those measured with it.

    ``"AUC, series, any: 0.980 (989 patients, 1,450 series; published by its authors: https://...)"``
    """
    published = (f"{text[:-1]}; published by its authors: {source})" for text, source in published_figures(card))
    measured = (
        f"{figure['metric']}: {_value(figure)} ({figure['data']}; measured with this package)"
        for figure in card.get("evaluation") or ()
    )
    return (*published, *measured)


def published_figures(card: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what a model's authors published, in words, and where each stands.

    ``("AUC, series, any: 0.980 (989 patients, 1,450 series)", "https://...")``
    """
    return tuple(
        (f"{_metric(figure)}: {_value(figure)} ({figure['count']})", str(figure["source"]))
        for figure in card.get("published") or ()
    )


def _metric(figure: Mapping[str, Any]) -> str:
    label = figure.get("label")
    return f"{figure['metric']}, {label}" if label and label not in figure["metric"] else str(figure["metric"])


def _value(figure: Mapping[str, Any]) -> str:
    """Return a figure as it stands in lists: a share with three decimals, a count or volume as it is."""
    low, high = figure.get("low"), figure.get("high")
    told = _number(figure["value"])
    return told if low is None or high is None else f"{told}, 95 % interval {_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:g}"
