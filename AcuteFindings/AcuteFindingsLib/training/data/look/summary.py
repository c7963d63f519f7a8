"""What a data set is in numbers: plain values that JSON holds, without anything that names a patient."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data.folds import folds, inseparable
from AcuteFindingsLib.training.data.look.sample import Sample
from AcuteFindingsLib.training.data.table import DataTable, Problem

# An AUC this far from a half says that something besides the finding tells the classes apart.
SEPARATES = 0.6
_LEAST = 5

# Fact to its words; only these are shown, so that no column that names somebody ever is.
NUMBERS = {
    "age": "Age (years)",
    "spacing_mm": "Pixel spacing (mm)",
    "thickness_mm": "Slice thickness (mm)",
    "height": "Image height (px)",
    "width": "Image width (px)",
    "mean_grey": "Mean gray level as shown (0 to 1)",
    "dark_border": "Black share of the border",
    "volume_ml": "Bleed volume (ml)",
    "clot_volume_ml": "Clot volume (ml)",
    "rv_lv_ratio": "RV/LV ratio",
    "pneumothorax_area_mm2": "Pneumothorax area (mm²)",
}
WORDS = {
    "sex": "Sex",
    "view": "View",
    "projection": "Projection",
    "published_split": "Published split",
    "label_method": "Who labeled",
    "dataset_label": "Part of the data set",
}
# What a network could read off an image without seeing the finding. Sizes of the finding itself are none.
_SHORTCUTS = ("age", "sex", "view", "spacing_mm", "thickness_mm", "height", "width", "mean_grey", "dark_border")


def facts_of(table: DataTable, sample: Sample) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return facts of the examples, and of how many examples each is: all, or those that were opened."""
    columns, known = {}, {}
    for name in (*NUMBERS, *WORDS):
        if name in table.facts:
            columns[name] = table.facts[name]
        elif name in sample.facts:
            columns[name] = pd.Series(sample.facts[name].to_numpy(), index=sample.rows).reindex(table.rows.index)
        else:
            continue
        known[name] = int((columns[name].notna() & (columns[name] != "")).sum())
    present = {name: count for name, count in known.items() if count}
    return pd.DataFrame({name: columns[name] for name in present}, index=table.rows.index), present


def summarize(table: DataTable, sample: Sample) -> dict[str, Any]:
    """Return the numbers of a data set: counts, classes, people, geometry, masks, splits, shortcuts, problems."""
    facts, known = facts_of(table, sample)
    return {
        "kind": table.kind,
        "task": table.task,
        "counts": counts(table),
        "labels": [label_row(table, name) for name in table.label_names],
        "facts": {name: _described(facts[name], count, name) for name, count in known.items()},
        "slices": slices_of(table),
        "masks": masks_of(sample),
        "shortcuts": shortcuts(table, facts),
        "folds": fold_rows(table),
        "sample": {"opened": len(sample.rows), "unreadable": sample.unreadable},
        "problems": [_problem(one) for one in table.problems],
    }


def counts(table: DataTable) -> dict[str, int]:
    """Return how many images, series, patients and separable people there are."""
    series = table.rows["series"]
    patients = table.rows["patient"].nunique() if len(table) else 0
    return {
        "images": len(table),
        "images_there": int((table.rows["source"] != "").sum()),
        "series": int(series[series != ""].nunique()),
        "patients": int(patients),
        "separable": len(np.unique(inseparable(table))),
        "near_duplicates": int((table.rows["group"].duplicated(keep=False)).sum()),
        "framed": len(table.boxes),
        "with_mask": len(table.masks),
    }


def label_row(table: DataTable, name: str) -> dict[str, Any]:
    """Return how often a label is positive, by image and by patient."""
    found = table.count(name)
    values = pd.Series(table.label(name)).groupby(table.rows["patient"].to_numpy()).max()
    return {
        "label": name,
        "positive": found.positive,
        "negative": found.negative,
        "unknown": found.unknown,
        "share": _number(found.share),
        "patients_positive": int((values >= 0.5).sum()),
    }


def slices_of(table: DataTable) -> dict[str, Any]:
    """Return slices a series and, of positive series, positive slices; empty for single images."""
    series = table.rows["series"]
    inside = (series != "").to_numpy()
    if not inside.any():
        return {}
    sizes = series[inside].value_counts()
    answer: dict[str, Any] = {"per_series": _numbers(sizes.to_numpy(float)), "sizes": sizes.tolist()}
    if table.main_label:
        marked = pd.Series(table.label(table.main_label)[inside] >= 0.5).groupby(series[inside].to_numpy()).sum()
        positive = marked[marked > 0]
        answer |= {
            "positive_series": len(positive),
            "positive_slices": _numbers(positive.to_numpy(float)),
            "positive_sizes": positive.astype(int).tolist(),
        }
    return answer


def masks_of(sample: Sample) -> dict[str, Any]:
    """Return how much of the image the masks of the opened images cover; empty without masks."""
    shares = sample.facts["mask_share"].dropna().to_numpy(float)
    if not len(shares):
        return {}
    marked = shares[shares > 0]
    return {"opened": len(shares), "empty": int((shares == 0).sum()), "percent_of_image": _numbers(100 * marked)}


def shortcuts(table: DataTable, facts: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how well single facts tell positive from negative images, the best first.

    The figure is the area under the ROC curve of that fact alone (0.5: tells nothing), turned so that it is at least a
    half, with the p value of the Mann-Whitney test. Where it is high a network can be right without having seen the
    finding, as with the tubes of docs/sources.md 5.
    """
    if not table.main_label:
        return []
    values = table.label(table.main_label)
    rows = []
    for name in _SHORTCUTS:
        if name not in facts:
            continue
        for words, numbers in _as_numbers(name, facts[name]):
            positive = numbers[(values >= 0.5) & ~np.isnan(numbers)]
            negative = numbers[(values < 0.5) & ~np.isnan(numbers)]
            if min(len(positive), len(negative)) < _LEAST or len(np.unique(numbers[~np.isnan(numbers)])) < 2:
                continue
            test = stats.mannwhitneyu(positive, negative)
            auc = float(test.statistic) / (len(positive) * len(negative))
            rows.append(
                {
                    "fact": words,
                    "auc": _number(max(auc, 1 - auc)),
                    "higher_in": "positive" if auc >= 0.5 else "negative",
                    "p": float(test.pvalue),
                    "images": len(positive) + len(negative),
                    "separates": bool(max(auc, 1 - auc) >= SEPARATES and test.pvalue < 0.05),
                }
            )
    return sorted(rows, key=lambda row: -row["auc"])


def fold_rows(table: DataTable, *, count: int = 5, seed: int = 0) -> list[dict[str, int]]:
    """Return what five folds by patient and near-duplicates would hold; empty where there are too few patients."""
    try:
        turns = folds(table, count=count, seed=seed)
    except DataError:
        return []
    return [
        {
            "fold": turn.number + 1,
            "images": len(turn.held_out),
            "patients": int(turn.held_out.rows["patient"].nunique()),
            **({"positive": turn.held_out.count().positive} if table.main_label else {}),
        }
        for turn in turns
    ]


def _as_numbers(name: str, values: pd.Series) -> list[tuple[str, np.ndarray]]:
    if name in NUMBERS:
        return [(NUMBERS[name], pd.to_numeric(values, errors="coerce").to_numpy(float))]
    text = values.fillna("").astype(str)
    common = [one for one in text.value_counts().index.tolist() if one][:3]
    # Of two classes one says all.
    listed = common[1:] if len(common) == 2 else common
    return [
        (f"{WORDS[name]} is {one}", np.where(text == "", np.nan, (text == one).astype(float))) for one in sorted(listed)
    ]


def _described(values: pd.Series, known: int, name: str) -> dict[str, Any]:
    if name in NUMBERS:
        return {
            "known": known,
            **_numbers(pd.to_numeric(values, errors="coerce").dropna().to_numpy(float)),
        }
    counts = values[values.notna() & (values != "")].astype(str).value_counts()
    return {"known": known, "counts": {str(key): int(count) for key, count in counts.items()}}


def _numbers(values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"count": 0}
    low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    return {
        "count": len(values),
        "mean": _number(float(values.mean())),
        "min": _number(low),
        "q1": _number(q1),
        "median": _number(median),
        "q3": _number(q3),
        "max": _number(high),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


def _problem(problem: Problem) -> dict[str, str]:
    """Leave out the names: in some data sets they are those of patients."""
    return {"severity": problem.severity, "file": problem.file, "field": problem.field, "text": problem.text}
