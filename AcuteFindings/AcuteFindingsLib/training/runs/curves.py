"""Loss by epoch, from the logs of all stages, as a picture."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_COLORS = {"train_loss": "#7f8c9b", "val_loss": "#0b6e99"}
_WORDS = {"train_loss": "training", "val_loss": "validation"}


def stage_log(folder: Path) -> pd.DataFrame:
    """Return what a stage logged, a row an epoch, also where the run was stopped and resumed in between."""
    files = sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda path: int(path.parent.name.rpartition("_")[2]))
    if not files:
        return pd.DataFrame()
    rows = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    if "epoch" not in rows:
        return pd.DataFrame()
    # Each kind of number is logged in a row of its own; a resumed epoch replaces the one that was cut off.
    return rows.groupby("epoch").last().reset_index()


def draw_curves(folders: Sequence[Path], names: Sequence[str]) -> str:
    """Return the losses of the named stages of some folds as a PNG in base64; empty where nothing was logged."""
    stages: dict[str, list[pd.DataFrame]] = {}
    for folder in folders:
        for name in names:
            log = stage_log(folder / name)
            if "train_loss" in log or "val_loss" in log:
                stages.setdefault(name, []).append(log)
    if not stages:
        return ""
    figure = Figure(figsize=(4.6 * len(stages), 3.2), layout="constrained")
    for number, (name, logs) in enumerate(stages.items(), 1):
        axes = figure.add_subplot(1, len(stages), number)
        for log in logs:
            for column, color in _COLORS.items():
                if column in log:
                    known = log[["epoch", column]].dropna()
                    label = _WORDS[column] if log is logs[0] else None
                    axes.plot(known["epoch"] + 1, known[column], color=color, marker="o", markersize=3, label=label)
        axes.set_title(f"stage: {name}", fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return base64.b64encode(stream.getvalue()).decode()
