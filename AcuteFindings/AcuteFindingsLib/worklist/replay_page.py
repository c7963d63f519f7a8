"""The page and the numbers of a replay."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from AcuteFindingsLib.pages.page import render, write_page
from AcuteFindingsLib.pages.style import add_legend, as_svg, canvas, line, styled
from AcuteFindingsLib.worklist.replay import ORDERS, Replay

PAGE, NUMBERS = "replay.html", "replay.json"


def write_replay(done: Replay, folder: Path, *, answer_minutes: float) -> tuple[Path, Path]:
    """Write `PAGE` and `NUMBERS` into a folder and return their paths; raises `ExportError` where that fails."""
    numbers = json.dumps(replay_numbers(done, answer_minutes=answer_minutes), indent=2) + "\n"
    rows = [
        {
            "name": name,
            "told": told,
            "positive": done.positive[name],
            "others": done.others[name],
            "past_limit": done.past_limit[name],
        }
        for name, told in ORDERS.items()
    ]
    page = render(
        "replay.html.jinja",
        rows=rows,
        count=len(done.arrivals),
        days=len(np.unique(done.arrivals.days)),
        positives=int(done.arrivals.positive.sum()),
        others=int((~done.arrivals.positive).sum()),
        readers=done.readers,
        busy=done.busy,
        limit=f"{done.settings.limit_minutes:g}",
        assumed=done.arrivals.assumed,
        answer_minutes=answer_minutes,
        draws=done.draws,
        chart=draw_waits(done),
    )
    return write_page(page, folder / PAGE), write_page(numbers, folder / NUMBERS)


def replay_numbers(done: Replay, *, answer_minutes: float) -> dict[str, Any]:
    """Return what a replay found, for programs; waits in minutes."""
    return {
        "studies": len(done.arrivals),
        "positive_studies": int(done.arrivals.positive.sum()),
        "readers": done.readers,
        "busy": done.busy,
        "answer_minutes": answer_minutes,
        "settings": done.settings.model_dump(mode="json"),
        "assumed": list(done.arrivals.assumed),
        "draws": done.draws,
        "orders": {
            name: {
                "positive": asdict(done.positive[name]),
                "others": asdict(done.others[name]),
                "share_past_limit": done.past_limit[name],
            }
            for name in ORDERS
        },
    }


@styled
def draw_waits(done: Replay) -> Markup:
    """Draw the share of studies that wait longer than so many minutes, positive ones and others side by side."""
    figure, (left, right) = canvas(8.4, 3.2, nrows=1, ncols=2, sharey=True)
    longest = max(1.0, *(float(waits.max()) for waits in done.waits.values()))
    handles = []
    for axes, chosen, title in (
        (left, done.arrivals.positive, "Positive studies"),
        (right, ~done.arrivals.positive, "Other studies"),
    ):
        for number, name in enumerate(ORDERS):
            drawn = axes.plot(*_waiting_longer(done.waits[name][chosen]), linewidth=1.6, **line(number))
            if axes is left:
                handles += drawn
        axes.axvline(done.settings.limit_minutes, color="#566473", linestyle=(0, (2, 3)), linewidth=1)
        axes.set(xlabel="Minutes", title=title, xlim=(0, longest * 1.02), ylim=(0, 1.05))
        axes.set_yscale("symlog", linthresh=0.001)
        axes.set_yticks([0, 0.001, 0.01, 0.1, 1], ["0", "0.1 %", "1 %", "10 %", "100 %"])
    left.set_ylabel("Share that waits longer")
    add_legend(figure, handles, list(ORDERS), columns=4)
    words = "; ".join(
        f"{name}: positive studies wait {done.positive[name].mean.value:.0f} minutes in the mean, the longest of all "
        f"{max(done.positive[name].longest.value, done.others[name].longest.value):.0f}"
        for name in ORDERS
    )
    return as_svg(figure, f"Share of studies that wait longer than a time. {words}.")


def _waiting_longer(waits: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    ordered = np.sort(waits)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 300)).astype(int))
    return [0.0, *ordered[places]], [1.0, *(1 - (places + 1) / len(ordered))]
