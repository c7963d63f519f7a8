"""Some images of a data set, opened: what no table says about them, and pictures to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.pages.page import pixels_source
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.training.data.checks import Problems, plausible_age, sex
from AcuteFindingsLib.training.data.folds import inseparable
from AcuteFindingsLib.training.data.headers import scan_headers
from AcuteFindingsLib.training.data.load import load_image, load_mask
from AcuteFindingsLib.training.data.table import DataTable, Example

_PICTURE_PX = 300
_MAP_PX = 64
_OUTLINE = (255, 176, 0)


@dataclass(frozen=True)
class Picture:
    """One image as a PNG for a page, with what may be said about it: nothing names the patient."""

    source: str
    caption: str
    positive: bool | None


@dataclass(frozen=True, eq=False)
class Sample:
    """What opening some images showed.

    Attributes
    ----------
    rows
        Row numbers of the table that were opened.
    facts
        Same order: height, width, mean gray level of what is shown (0..1), share of black at the border, mask share of
        the image (NaN without mask), and what DICOM headers say where the table is silent.
    pictures
        Positive ones first.
    mask_map
        ``(64, 64)``: in which share of the masks each place is marked; None without masks.
    unreadable
        How many could not be opened, by the reason in words.
    """

    rows: np.ndarray
    facts: pd.DataFrame
    pictures: tuple[Picture, ...] = ()
    mask_map: np.ndarray | None = None
    unreadable: dict[str, int] = field(default_factory=dict)


def open_sample(
    table: DataTable, *, count: int = 200, pictures: int = 12, seed: int = 0, progress: Progress = no_progress
) -> Sample:
    """Open up to `count` images, positive and negative ones alike where there are enough, chosen at random."""
    usable = np.flatnonzero((table.rows["source"] != "").to_numpy())
    labels = table.label(table.main_label) if table.main_label else np.full(len(table), np.nan)
    chosen = _choose(usable, labels, count, seed)
    drawn = _for_pictures(inseparable(table), chosen, labels, pictures, seed)
    records, kept, shown, maps, unreadable = [], [], [], [], dict[str, int]()
    for number, row in enumerate(chosen.tolist()):
        progress(f"Opening images: {number} of {len(chosen)}", number / len(chosen))
        example = table.example(row)
        try:
            image = load_image(example)
            mask = load_mask(example, image.shape)
        except AcuteFindingsError as error:
            reason = type(error).__name__
            unreadable[reason] = unreadable.get(reason, 0) + 1
            continue
        unit = _shown(image, example)
        records.append(_facts(unit, mask))
        kept.append(row)
        if mask is not None and mask.any():
            maps.append(_small(mask))
        if row in drawn:
            shown.append(Picture(_png(unit, mask), _caption(example, table), _is_positive(example, table)))
    facts = pd.DataFrame(records, columns=["height", "width", "mean_grey", "dark_border", "mask_share"])
    shown.sort(key=lambda one: one.positive is not True)
    return Sample(
        rows=np.array(kept, np.int64),
        facts=pd.concat([facts, _header_facts(table, kept)], axis=1),
        pictures=tuple(shown),
        mask_map=np.mean(maps, axis=0) if maps else None,
        unreadable=unreadable,
    )


def _choose(usable: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    known = labels[usable]
    classes = [usable[known >= 0.5], usable[known < 0.5], usable[np.isnan(known)]]
    filled = [generator.permutation(one) for one in classes if len(one)]
    if not filled:
        return usable
    each = -(-count // min(2, len(filled)))
    chosen = np.concatenate([one[:each] for one in filled])[:count]
    rest = np.concatenate([one[each:] for one in filled])
    return np.sort(np.concatenate([chosen, rest[: count - len(chosen)]]))


def _for_pictures(people: np.ndarray, chosen: np.ndarray, labels: np.ndarray, count: int, seed: int) -> set[int]:
    """Return which of the chosen are drawn: half positive, half negative, of as many people as possible."""
    drawn: list[int] = []
    mixed = np.random.default_rng(seed).permutation(chosen)
    positive = mixed[labels[mixed] >= 0.5]
    others = mixed[~(labels[mixed] >= 0.5)]
    wanted = min(len(positive), max(count // 2, count - len(others)))
    for rows, places in ((positive, wanted), (others, count - wanted)):
        _, first = np.unique(people[rows], return_index=True)
        again = np.setdiff1d(np.arange(len(rows)), first)
        drawn += rows[np.concatenate([np.sort(first), again])][:places].tolist()
    return set(drawn)


def _shown(image: np.ndarray, example: Example) -> np.ndarray:
    """Return the image in 0..1 as a person looks at it."""
    window = kind_of_task(example.task).window
    if window is None or image.min() > -100:
        return np.clip(image, 0, 1)
    level, width = window
    return np.clip((image - level) / width + 0.5, 0, 1)


def _facts(unit: np.ndarray, mask: np.ndarray | None) -> list[float]:
    edge = np.concatenate([unit[0], unit[-1], unit[:, 0], unit[:, -1]])
    share = float("nan") if mask is None else float(mask.mean())
    return [float(unit.shape[0]), float(unit.shape[1]), float(unit.mean()), float((edge < 0.02).mean()), share]


def _header_facts(table: DataTable, rows: Sequence[int]) -> pd.DataFrame:
    """Return sex, age, view, spacing and thickness from the headers, as far as the table does not have them."""
    wanted = [name for name in ("sex", "age", "view", "spacing_mm", "thickness_mm") if name not in table.facts]
    files = table.rows["source"].iloc[list(rows)]
    if not wanted or not len(files) or not files.str.lower().str.endswith(".dcm").all():
        return pd.DataFrame(index=range(len(rows)))
    headers = scan_headers(table.root, files.tolist())
    headers["age"], headers["sex"] = plausible_age(headers["age"], "", Problems()), sex(headers["sex"])
    return headers[wanted].reset_index(drop=True)


def _small(mask: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((_MAP_PX, _MAP_PX), Image.Resampling.BOX)
    return np.asarray(picture, np.float64) / 255


def _png(unit: np.ndarray, mask: np.ndarray | None) -> str:
    gray = Image.fromarray(np.rint(255 * unit).astype(np.uint8))
    scale = _PICTURE_PX / max(gray.size)
    size = (max(1, round(gray.width * scale)), max(1, round(gray.height * scale)))
    pixels = np.stack([np.asarray(gray.resize(size, Image.Resampling.LANCZOS))] * 3, axis=-1)
    if mask is not None and mask.any():
        fitted = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        pixels[ndimage.binary_dilation(fitted) & ~fitted] = _OUTLINE
    return pixels_source(pixels)


def _is_positive(example: Example, table: DataTable) -> bool | None:
    value = example.labels.get(table.main_label, float("nan"))
    return None if np.isnan(value) else value >= 0.5


def _caption(example: Example, table: DataTable) -> str:
    """Return what is known in a few words; people of 90 and more are not told apart."""
    known = {True: "positive", False: "negative", None: ""}[_is_positive(example, table)]
    others = [
        name.replace("_", " ")
        for name, value in example.labels.items()
        if value >= 0.5 and name not in (table.main_label, "pe_present")
    ]
    age = example.facts.get("age")
    said = [
        known,
        ", ".join(others[:3]),
        str(example.facts.get("sex", "")),
        "" if not isinstance(age, float) else "90 or older" if age >= 90 else f"{age:.0f} years",
        str(example.facts.get("view", "")),
    ]
    return " · ".join(one for one in said if one) or "no label"
