"""What a check has to say about a study."""

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
