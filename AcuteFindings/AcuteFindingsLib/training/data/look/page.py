"""The look at a data set as one self-contained page and as JSON."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from AcuteFindingsLib.detectors.registry import find_task, model_tasks
from AcuteFindingsLib.evaluation.report import p_text
from AcuteFindingsLib.pages.charts import categories, histogram
from AcuteFindingsLib.pages.page import pixels_source, render, write_page
from AcuteFindingsLib.training.data.look.sample import Sample
from AcuteFindingsLib.training.data.look.summary import NUMBERS, WORDS, facts_of, summarize
from AcuteFindingsLib.training.data.table import DataTable

REPORT, NUMBERS_FILE = "explore.html", "explore.json"

_MOST_WORDS = 8
_GEOMETRY = "Geometry and gray levels"
_SAMPLED = "of the {count} images that were opened"

Group = dict[str, Any]


def write_look(table: DataTable, sample: Sample, folder: Path, *, made: datetime | None = None) -> tuple[Path, Path]:
    """Write ``explore.html`` and ``explore.json`` below `folder`; neither names a patient, a file or an identifier.

    Returns
    -------
    tuple of pathlib.Path
        Page and numbers.

    Raises
    ------
    ExportError
        When they cannot be written.
    """
    numbers = summarize(table, sample)
    page = render_look(table, sample, numbers, made=made)
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_page(page, folder / REPORT), write_page(text, folder / NUMBERS_FILE)


def render_look(table: DataTable, sample: Sample, numbers: dict[str, Any], *, made: datetime | None = None) -> str:
    """Return the page."""
    folds = numbers["folds"]
    return render(
        "data.html.jinja",
        made=made,
        filters={"p": p_text},
        title=find_task(table.task).title,
        layout=f"layout {table.kind}",
        tiles=_tiles(table, numbers),
        problems=[*numbers["problems"], *_unreadable(sample)],
        labels=[{**row, "name": label_text(row["label"])} for row in numbers["labels"]],
        main_label=label_text(table.main_label) if table.main_label else "",
        pictures=sample.pictures,
        outlined=sample.mask_map is not None,
        groups=_groups(table, sample),
        mask_map=None if sample.mask_map is None else _heat(sample.mask_map),
        mask_count=numbers["masks"].get("percent_of_image", {}).get("count", 0),
        mask_most=0 if sample.mask_map is None else round(100 * float(sample.mask_map.max())),
        shortcuts=numbers["shortcuts"],
        separating=sum(row["separates"] for row in numbers["shortcuts"]),
        folds=folds,
        no_positive_fold=bool(table.main_label) and any(row["positive"] == 0 for row in folds),
        opened=len(sample.rows),
    )


def label_text(name: str) -> str:
    """Return a label as people write it."""
    headings = (label.heading for task in model_tasks().values() for label in task.labels if label.name == name)
    text = next(filter(None, headings), name.replace("_", " "))
    return text[:1].upper() + text[1:]


def _tiles(table: DataTable, numbers: dict[str, Any]) -> list[dict[str, Any]]:
    counts = numbers["counts"]
    cards: list[dict[str, Any]] = [
        {"value": f"{counts['images']:,}", "text": "slices" if counts["series"] else "images", "tone": False},
        {"value": f"{counts['patients']:,}", "text": "patients, as far as is known", "tone": False},
    ]
    if counts["series"]:
        cards.insert(1, {"value": f"{counts['series']:,}", "text": "series", "tone": False})
    if table.main_label and numbers["labels"][0]["share"] is not None:
        main = numbers["labels"][0]
        cards.append({"value": f"{main['positive']:,}", "text": f"{label_text(main['label'])}", "tone": True})
        cards.append({"value": f"{100 * main['share']:.1f} %", "text": "of those known are positive", "tone": True})
    if counts["with_mask"]:
        cards.append({"value": f"{counts['with_mask']:,}", "text": "with a mask, also an empty one", "tone": False})
    if counts["near_duplicates"]:
        cards.append({"value": f"{counts['near_duplicates']:,}", "text": "near-duplicates of others", "tone": False})
    if counts["images_there"] < counts["images"]:
        missing = counts["images"] - counts["images_there"]
        cards.append({"value": f"{missing:,}", "text": "images that cannot be used", "tone": True})
    return cards


def _unreadable(sample: Sample) -> list[dict[str, str]]:
    total = sum(sample.unreadable.values())
    if not total:
        return []
    text = f"{total} of {total + len(sample.rows)} images that were opened cannot be read; training would stop there."
    return [{"severity": "warn", "file": "images", "field": "", "text": text}]


def _groups(table: DataTable, sample: Sample) -> list[Group]:
    facts, known = facts_of(table, sample)
    values = table.label(table.main_label) if table.main_label else np.zeros(0)

    def by_class(column: pd.Series) -> dict[str, pd.Series]:
        if not table.main_label or not (values >= 0.5).any() or not (values < 0.5).any():
            return {"all": column}
        return {"positive": column[values >= 0.5], "negative": column[values < 0.5]}

    def note(name: str) -> str:
        return (
            ""
            if known[name] == len(table)
            else _SAMPLED.format(count=len(sample.rows))
            if name in sample.facts
            else (f"known of {known[name]:,} of {len(table):,} images")
        )

    def numbers(name: str, *, whole: bool = False) -> tuple[Markup | None, str]:
        series = {
            key: pd.to_numeric(one, errors="coerce").to_numpy(float) for key, one in by_class(facts[name]).items()
        }
        return histogram(NUMBERS[name].partition(" (")[0], NUMBERS[name], series, whole=whole), note(name)

    def words(name: str) -> tuple[Markup | None, str]:
        series = {}
        for key, one in by_class(facts[name]).items():
            counts = one[one.notna() & (one != "")].astype(str).value_counts()
            series[key] = {_word(str(word)): int(count) for word, count in counts.head(_MOST_WORDS).items()}
        return categories(WORDS[name], series), note(name)

    people = [*([numbers("age")] if "age" in known else []), *(words(name) for name in ("sex",) if name in known)]
    views = [words(name) for name in ("view", "projection") if name in known and facts[name].nunique() > 0]
    origin = [words(name) for name in ("published_split", "label_method", "dataset_label") if name in known]
    geometry = [numbers(name) for name in ("spacing_mm", "thickness_mm", "height", "width") if name in known]
    brightness = [numbers(name) for name in ("mean_grey", "dark_border") if name in known]
    found = [*_slice_charts(table), *_mask_charts(sample)]
    found += [
        numbers(name)
        for name in ("volume_ml", "clot_volume_ml", "rv_lv_ratio", "pneumothorax_area_mm2")
        if name in known
    ]
    alike = (
        "Where two classes are drawn, each adds up to 100 %, so that a rare one can be compared with a frequent one."
    )
    same = [
        f"{NUMBERS[name][0].lower()}{NUMBERS[name][1:]} {facts[name].dropna().iloc[0]:.4g}"
        for name in ("spacing_mm", "thickness_mm", "height", "width")
        if name in known and facts[name].nunique() == 1
    ]
    groups = [
        ("People", alike, people),
        ("Views and origin", "", [*views, *origin]),
        ("Slices, masks and measurements", "", found),
        (_GEOMETRY, "", [*geometry, *brightness]),
    ]
    kept: list[Group] = [
        {
            "title": title,
            "text": text,
            "charts": [(chart, one) for chart, one in charts if chart is not None],
            "same": same if title == _GEOMETRY else [],
        }
        for title, text, charts in groups
    ]
    return [group for group in kept if group["charts"] or group["same"]]


def _slice_charts(table: DataTable) -> list[tuple[Markup | None, str]]:
    series = table.rows["series"]
    inside = (series != "").to_numpy()
    if not inside.any():
        return []
    sizes = series[inside].value_counts().to_numpy(float)
    charts = [(histogram("Slices a series", "Slices", {"all": sizes}, whole=True), "")]
    if table.main_label:
        marked = pd.Series(table.label(table.main_label)[inside] >= 0.5).groupby(series[inside].to_numpy()).sum()
        positive = marked[marked > 0].to_numpy(float)
        title = "Positive slices, where there are any"
        charts.append((histogram(title, "Positive slices of a series", {"all": positive}, whole=True), ""))
    return charts


def _mask_charts(sample: Sample) -> list[tuple[Markup | None, str]]:
    shares = 100 * sample.facts["mask_share"].dropna().to_numpy(float)
    marked = shares[shares > 0]
    if not len(marked):
        return []
    empty = f"; {len(shares) - len(marked)} masks are empty" if len(shares) > len(marked) else ""
    note = _SAMPLED.format(count=len(sample.rows)) + empty
    return [(histogram("Size of the masks", "Percent of the image", {"all": marked}), note)]


def _word(text: str) -> str:
    return {"F": "female", "M": "male"}.get(text, text.replace("_", " "))


def _heat(share: np.ndarray) -> str:
    """Return the map as a picture; matplotlib's "inferno" reads in gray too."""
    from matplotlib import colormaps
    from PIL import Image

    unit = share / max(float(share.max()), 1e-9)
    colors = np.rint(255 * colormaps["inferno"](unit)[..., :3]).astype(np.uint8)
    large = Image.fromarray(colors).resize((256, 256), Image.Resampling.BICUBIC)
    return pixels_source(np.asarray(large))
