"""What a check has to say about a study."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["refuse", "warn", "info"]


@dataclass(frozen=True)
class Notice:
    """One answer of a check, or one warning of a detector.

    Attributes
    ----------
    code
        Stable, machine-readable name in kebab case, for example ``"no-contrast"``.
    severity
        ``"refuse"`` stops a run unless the user forces it, ``"warn"`` is shown with the result, ``"info"`` is for the
        record.
    text
        One sentence that a clinician understands: what was found, what was expected, what to do.
    """

    code: str
    severity: Severity
    text: str


def refusals(notices: Iterable[Notice]) -> list[Notice]:
    """Return those that stop a run."""
    return [notice for notice in notices if notice.severity == "refuse"]


def merge_notices(*groups: Iterable[Notice]) -> tuple[Notice, ...]:
    """Join notices in order, each once."""
    return tuple(dict.fromkeys(notice for group in groups for notice in group))
