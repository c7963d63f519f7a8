"""Loss by epoch, from the logs of all stages, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from AcuteFindingsLib.pages.charts import loss_curves

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


def draw_curves(folders: Sequence[Path], names: Sequence[str]) -> Markup | None:
    """Return the losses of the named stages of some folds as SVG; None where nothing was logged."""
    stages: dict[str, list[dict[str, tuple[list[float], list[float]]]]] = {}
    for folder in folders:
        for name in names:
            log = stage_log(folder / name)
            known = {words: log[["epoch", column]].dropna() for column, words in _WORDS.items() if column in log}
            if known:
                drawn = {
                    words: ((rows.iloc[:, 0] + 1).tolist(), rows.iloc[:, 1].tolist()) for words, rows in known.items()
                }
                stages.setdefault(name, []).append(drawn)
    return loss_curves(stages) if stages else None
