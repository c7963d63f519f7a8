"""What a run knows, from which a checklist is filled: evaluation, model card, findings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AcuteFindingsLib.detectors.acquisition import Acquisition, acquisition_from_dict
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.evaluation.evaluate import Request
from AcuteFindingsLib.evaluation.schema import Evaluation, LabelResult, LevelResult
from AcuteFindingsLib.models.find import find_package
from AcuteFindingsLib.models.metadata import Card


@dataclass(frozen=True)
class Known:
    """What a run knows.

    Attributes
    ----------
    result
        The evaluation.
    request
        What was asked for.
    card
        Of the model, where its package is at hand.
    findings
        The JSON of the findings that were measured; none where the predictions are a table.
    """

    result: Evaluation
    request: Request
    card: Card | None = None
    findings: tuple[Mapping[str, Any], ...] = ()

    @property
    def labels(self) -> list[tuple[LevelResult, LabelResult]]:
        """Every label at every level."""
        return [(level, label) for level in self.result.levels for label in level.labels]

    @property
    def acquisitions(self) -> list[Acquisition]:
        """How the images were made, of the findings that say it."""
        return [acquisition_from_dict(one["acquisition"]) for one in self.findings if one.get("acquisition")]


def known_of(predictions: Path, result: Evaluation, request: Request, *, folders: tuple[Path, ...] = ()) -> Known:
    """Return what a run knows.

    Findings below `predictions` that cannot be read are left out. The card is that of the model asked for, else of the
    one that all findings are of, where its package is at hand (also in `folders`) with the same weights.
    """
    files = sorted(predictions.rglob("finding.json")) if predictions.is_dir() else []
    found = tuple(one for one in map(_finding, files) if one is not None)
    return Known(result, request, request.card or _card_of(found, folders), found)


def _card_of(findings: Sequence[Mapping[str, Any]], folders: tuple[Path, ...]) -> Card | None:
    models = {(one["model"]["id"], one["model"]["sha256"]) for one in findings}
    if len(models) != 1:
        return None
    ((name, weights),) = models
    try:
        package = find_package(name, folders=folders)
    except ModelError:
        return None
    return package.card if package.sha256 == weights else None


def _finding(file: Path) -> Mapping[str, Any] | None:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and {"model", "verdict"} <= set(data) else None
