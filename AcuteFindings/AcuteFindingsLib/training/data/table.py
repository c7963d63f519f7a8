"""What every data set is once it is read: a table of examples, whatever layout it came in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.models.metadata import Task

Severity = Literal["error", "warn", "info"]

LUNGS = "lungs"
"""The task, and the mask, of the lung fields; they stand beside the masks of findings on radiographs."""

FIELDS = ("key", "patient", "group", "series", "order", "source", "frame")
"""Columns of `DataTable.rows`."""


@dataclass(frozen=True)
class MaskSource:
    """Where a mask comes from, in plain values, so that it travels to worker processes and into digests.

    Attributes
    ----------
    path
        A picture or volume file; None where `runs` describe the mask. A voxel counts where it is not 0.
    plane
        Index along z in a volume file.
    value
        Where the file holds sums of powers of two: the power that stands for this mask.
    runs
        SIIM run-length strings, one an object; the mask is their union. ``()`` with `size` is an empty mask.
    size
        ``(y, x)`` of the image that the runs describe.
    """

    path: Path | None = None
    plane: int = 0
    value: int | None = None
    runs: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Box:
    """A finding that somebody framed, in pixels of the original image: left upper corner and size."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Example:
    """One image with what is known about it.

    Attributes
    ----------
    key
        Unique in its data set.
    patient
        Who it is of, as far as the data set says; a pseudonym or a digest, never a name. Equal to `key` where unknown.
    group
        Near-duplicate images share it; equal to `key` where there are none.
    series
        Slices of one series share it; empty for single images.
    order
        Ascending along the slices of a series; NaN where only the headers tell (`load_study` sorts by position).
    source
        The image file; None where it is missing (see `DataTable.problems`).
    frame
        Which plane of a file that holds several.
    task
        What the image is made for; decides how a picture is read.
    labels
        Label to 0, 1 or NaN where unknown. A soft label (several readers) lies between.
    masks
        Segment name to its mask, the one the task is about first. Empty where the data set has none for this image;
        a mask that is known to be empty is there, with no runs.
    facts
        Sex ("F", "M"), age (years), view, spacing_mm, projection, study-level labels and measurements, ...
    boxes
        Framed findings.
    """

    key: str
    patient: str = ""
    group: str = ""
    series: str = ""
    order: float = float("nan")
    source: Path | None = None
    frame: int = 0
    task: Task = ""
    labels: Mapping[str, float] = field(default_factory=dict)
    masks: Mapping[str, MaskSource] = field(default_factory=dict)
    facts: Mapping[str, str | float] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()

    @property
    def mask(self) -> MaskSource | None:
        """The mask that the task is about; None where there is none, or only that of the lungs around it."""
        first = next(iter(self.masks), "")
        return None if first == LUNGS and self.task != LUNGS else self.masks.get(first)


@dataclass(frozen=True)
class Problem:
    """Something that a reader found missing or wrong.

    Attributes
    ----------
    severity
        ``"error"``: training on the data set would go wrong; ``"warn"``: rows were left out or values are doubtful;
        ``"info"``: for the record.
    file
        Name of the table or image (relative to the data set), not a path of the machine.
    field
        Column or tag; empty where it is about the file.
    text
        What is wrong, how often, what was expected and what was done about it. Names no image and no patient.
    names
        The first few images or values it is about; for the screen, never for a report.
    """

    severity: Severity
    file: str
    field: str
    text: str
    names: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The text with the names."""
        return f"{self.text} (first: {', '.join(self.names)})" if self.names else self.text


@dataclass(frozen=True)
class Counts:
    """How many examples have a label, lack it, or leave it open."""

    positive: int
    negative: int
    unknown: int

    @property
    def share(self) -> float:
        """Positives among those known; NaN where none is."""
        known = self.positive + self.negative
        return self.positive / known if known else float("nan")


@dataclass(frozen=True, eq=False)
class DataTable:
    """A data set: columns for the millions, `Example` for one at a time.

    Attributes
    ----------
    kind
        The layout it was read from, one of `KINDS`.
    task
        What it is for.
    label_names
        The label that the task is about first.
    rows
        One row an example, columns `FIELDS`; `source` relative to `root`, empty where the file is missing.
    labels
        Same rows, one float column a label; NaN where unknown.
    facts
        Same rows, one column a fact; missing values where unknown.
    masks, boxes
        Row number to the masks and boxes of the examples that have any.
    root
        Folder that `source` is relative to.
    problems
        What is missing or wrong, the worst first.
    """

    kind: str
    task: Task
    label_names: tuple[str, ...]
    rows: pd.DataFrame
    labels: pd.DataFrame
    facts: pd.DataFrame
    root: Path
    masks: Mapping[int, Mapping[str, MaskSource]] = field(default_factory=dict)
    boxes: Mapping[int, tuple[Box, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.rows)

    @property
    def examples(self) -> "Examples":
        """The examples as a sequence; each is made when it is asked for."""
        return Examples(self)

    @property
    def main_label(self) -> str:
        """The label that the task is about; empty where the data set has masks only."""
        return self.label_names[0] if self.label_names else ""

    @cached_property
    def keys(self) -> np.ndarray:
        """Keys of all examples, in order."""
        return self.rows["key"].to_numpy(object)

    def example(self, row: int) -> Example:
        """Return the example of a row."""
        fields = self._fields
        source = fields["source"][row]
        return Example(
            key=fields["key"][row],
            patient=fields["patient"][row],
            group=fields["group"][row],
            series=fields["series"][row],
            order=float(fields["order"][row]),
            source=self.root / source if source else None,
            frame=int(fields["frame"][row]),
            task=self.task,
            labels=dict(zip(self.label_names, self._label_values[row].tolist(), strict=True)),
            masks=self.masks.get(row, {}),
            facts={
                name: value if isinstance(value, str) else float(value)
                for name, values in self._fact_values.items()
                if not pd.isna(value := values[row]) and value != ""
            },
            boxes=self.boxes.get(row, ()),
        )

    def label(self, name: str) -> np.ndarray:
        """Return one label of all examples ``(n,)``: 0, 1, between, or NaN where unknown.

        Raises
        ------
        DataError
            Where the data set has no such label.
        """
        if name not in self.label_names:
            raise DataError(
                f"The {self.kind} data set has no label {name!r}; it has {', '.join(self.label_names) or 'none'}."
            )
        return self.labels[name].to_numpy(np.float64)

    def count(self, name: str | None = None) -> Counts:
        """Count one label, by default the one that the task is about; 0.5 and more counts as positive."""
        values = self.label(name or self.main_label)
        unknown = int(np.isnan(values).sum())
        positive = int((values >= 0.5).sum())
        return Counts(positive, len(values) - unknown - positive, unknown)

    def take(self, rows: Sequence[int] | np.ndarray) -> "DataTable":
        """Return the examples of these row numbers, in this order (a boolean array of all rows also serves)."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return replace(
            self,
            rows=self.rows.iloc[chosen].reset_index(drop=True),
            labels=self.labels.iloc[chosen].reset_index(drop=True),
            facts=self.facts.iloc[chosen].reset_index(drop=True),
            masks={new: self.masks[old] for new, old in enumerate(chosen.tolist()) if old in self.masks},
            boxes={new: self.boxes[old] for new, old in enumerate(chosen.tolist()) if old in self.boxes},
        )

    def select(self, keys: Iterable[str]) -> "DataTable":
        """Return the examples with these keys, in their order.

        Raises
        ------
        DataError
            For a key that the data set does not have.
        """
        wanted = list(keys)
        places = pd.Index(self.keys).get_indexer(pd.Index(wanted, dtype=object))
        if (places < 0).any():
            raise DataError(f"The {self.kind} data set has no example {wanted[int(np.argmin(places))]!r}.")
        return self.take(places)

    def usable(self) -> "DataTable":
        """Return the examples whose image file is there."""
        return self.take((self.rows["source"] != "").to_numpy())

    def known(self, name: str | None = None) -> "DataTable":
        """Return the examples of which a label is known, by default the one that the task is about."""
        return self.take(~np.isnan(self.label(name or self.main_label)))

    def series_rows(self) -> dict[str, np.ndarray]:
        """Return row numbers by series, each sorted by order, then by file name; single images are left out."""
        in_series = self.rows[self.rows["series"] != ""]
        sorted_rows = in_series.sort_values(["order", "source", "frame"], kind="stable")
        return {str(name): rows.to_numpy() for name, rows in sorted_rows.groupby("series", sort=False).groups.items()}

    def by_series(self) -> Iterator[tuple[Example, ...]]:
        """Yield the slices of one series after the other, sorted as `series_rows` sorts them."""
        for rows in self.series_rows().values():
            yield tuple(self.example(int(row)) for row in rows)

    def require_usable(self) -> "DataTable":
        """Return what can be trained on: examples whose file is there.

        Raises
        ------
        DataError
            Where a problem of severity ``"error"`` was found, or nothing is left; names the first.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            more = f" ({len(errors) - 1} more; `acutefindings explore` lists them)" if len(errors) > 1 else ""
            first = errors[0]
            place = f"{first.file}, {first.field}" if first.field else first.file
            raise DataError(f"{place}: {first.line}{more}")
        left = self.usable()
        if not len(left):
            raise DataError(f"The {self.kind} data set holds no image that can be read; see its table of problems.")
        return left

    @classmethod
    def from_examples(
        cls,
        kind: str,
        task: Task,
        label_names: Sequence[str],
        examples: Sequence[Example],
        *,
        root: Path,
        problems: Sequence[Problem] = (),
    ) -> "DataTable":
        """Return a table of examples that were made one by one; `root` is a folder that holds their files."""
        rows = pd.DataFrame(
            {
                "key": [one.key for one in examples],
                "patient": [one.patient or one.key for one in examples],
                "group": [one.group or one.key for one in examples],
                "series": [one.series for one in examples],
                "order": [one.order for one in examples],
                "source": ["" if one.source is None else str(one.source.relative_to(root)) for one in examples],
                "frame": [one.frame for one in examples],
            },
            columns=list(FIELDS),
        ).astype({**dict.fromkeys(("key", "patient", "group", "series", "source"), object), "order": float})
        unknown = float("nan")
        labels = {name: [one.labels.get(name, unknown) for one in examples] for name in label_names}
        return cls(
            kind=kind,
            task=task,
            label_names=tuple(label_names),
            rows=rows,
            labels=pd.DataFrame(labels, index=rows.index, columns=list(label_names), dtype=float),
            facts=pd.DataFrame([dict(one.facts) for one in examples], index=rows.index),
            root=root,
            masks={row: one.masks for row, one in enumerate(examples) if one.masks},
            boxes={row: one.boxes for row, one in enumerate(examples) if one.boxes},
            problems=tuple(problems),
        )

    @cached_property
    def _fields(self) -> dict[str, np.ndarray]:
        return {name: self.rows[name].to_numpy() for name in FIELDS}

    @cached_property
    def _label_values(self) -> np.ndarray:
        return self.labels.loc[:, list(self.label_names)].to_numpy(np.float64)

    @cached_property
    def _fact_values(self) -> dict[str, np.ndarray]:
        return {str(name): self.facts[name].to_numpy() for name in self.facts.columns}


class Examples(Sequence[Example]):
    """The examples of a table, each made when it is asked for: a million at once would fill the memory."""

    def __init__(self, table: DataTable) -> None:
        self._table = table

    def __len__(self) -> int:
        """How many there are."""
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Example, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        """Return one example, or a tuple of a slice of them."""
        rows = range(len(self))[index]
        return tuple(map(self._table.example, rows)) if isinstance(rows, range) else self._table.example(rows)
