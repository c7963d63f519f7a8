"""The page of `monitor`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from AcuteFindingsLib.evaluation.schema import Figure
from AcuteFindingsLib.pages.page import render, write_page
from AcuteFindingsLib.worklist.drift import Drift
from AcuteFindingsLib.worklist.drift_page import drawn, drift_numbers
from AcuteFindingsLib.worklist.monitor import Monitored, month_name

PAGE, NUMBERS = "worklist-report.html", "worklist-report.json"


def write_report_page(
    detectors: Sequence[Monitored], folder: Path, drifts: Mapping[str, Drift] | None = None
) -> tuple[Path, Path]:
    """Write `PAGE` and `NUMBERS` into a folder and return their paths; raises `ExportError` where that fails.

    `drifts` say by detector whether the studies still look like the first ones.
    """
    known = drifts or {}
    page = render(
        "monitor.html.jinja",
        detectors=detectors,
        drifts={name: drawn(drift) for name, drift in known.items()},
        filters={"share": share_text, "month": month_name},
    )
    numbers = json.dumps([monitor_numbers(one, known.get(one.detector)) for one in detectors], indent=2) + "\n"
    return write_page(page, folder / PAGE), write_page(numbers, folder / NUMBERS)


def monitor_numbers(one: Monitored, drift: Drift | None = None) -> dict[str, Any]:
    """Return the figures of a detector for programs."""
    agreement = [
        {"span": row.span, "agreed": row.agreed.model_dump(mode="json"), "unsure": row.unsure} for row in one.agreement
    ]
    return {
        **asdict(one),
        "agreement": agreement,
        "ppv": one.ppv.model_dump(mode="json"),
        "missed": one.missed.model_dump(mode="json"),
        "drift": None if drift is None else drift_numbers(drift),
    }


def drift_text(drift: Drift | None) -> str:
    """Return in a few words whether studies changed."""
    if drift is None or drift.said:
        return "too few studies"
    return ", ".join(change.variable for change in drift.changes) or "none"


def share_text(figure: Figure) -> str:
    """Return a share with its interval and count in words."""
    if figure.value is None:
        return "no answers"
    span = figure.intervals[0]
    return f"{100 * figure.value:.0f} % ({100 * span.low:.0f} to {100 * span.high:.0f}; n = {figure.count})"
