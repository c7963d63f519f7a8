"""What an evaluation holds, as it is written to JSON. None stands where a figure is not defined."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """A 95 % interval and how it was found."""

    low: float
    high: float
    method: str


class Figure(_Strict):
    """A measured number, the first interval the one to read, and how many cases it rests on."""

    value: float | None
    intervals: list[Range] = Field(default_factory=list)
    count: int = 0


class Curve(_Strict):
    """Points of a curve, both axes 0..1."""

    x: list[float]
    y: list[float]


class Bin(_Strict):
    """One bar of a reliability diagram: `stated` mean probability, `observed` share of positives, how many cases."""

    low: float
    high: float
    count: int
    stated: float | None
    observed: float | None


class Calibration(_Strict):
    """How far stated probabilities are from observed shares, before and after temperature scaling."""

    error: Figure
    bins: list[Bin]
    brier: float
    temperature: float | None
    error_after: float | None
    explained: str


class Point(_Strict):
    """Counts and figures at one threshold: a score at or above it is positive."""

    threshold: float
    chosen: str
    stated_beforehand: bool
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    figures: dict[str, Figure]


class LabelResult(_Strict):
    """Everything about one label at one level. `truth` is the column it was held against."""

    label: str
    truth: str
    cases: int
    positives: int
    missing: int
    auc: Figure
    average_precision: Figure
    roc: Curve
    precision_recall: Curve
    calibration: Calibration
    points: list[Point]


class RunResult(_Strict):
    """One of several runs of a model: AUC and calibration error by label."""

    name: str
    auc: dict[str, float | None]
    calibration_error: dict[str, float | None]


class SubgroupRow(_Strict):
    """One group of cases: its AUC, and sensitivity and specificity at the first operating point."""

    group: str
    cases: int
    positives: int
    patients: int
    auc: Figure
    sensitivity: Figure
    specificity: Figure


class Subgroups(_Strict):
    """The groups of one column for one label."""

    column: str
    label: str
    threshold: float
    rows: list[SubgroupRow]


class ReaderRow(_Strict):
    """A reader, or the model at its operating point, on the same cases. `p_value`: McNemar against the model."""

    name: str
    is_model: bool
    cases: int
    figures: dict[str, Figure]
    p_value: float | None


class Readers(_Strict):
    """A model beside readers, as in Table 2 of RADnet (docs/sources.md 4)."""

    label: str
    threshold: float
    rows: list[ReaderRow]


class MaskRow(_Strict):
    """One image's mask against the true one; sizes in `unit` of the table."""

    image: str
    dice: float
    true_size: float
    size: float


class MaskResult(_Strict):
    """Masks of one segment over all images. `convention` says what an empty mask counts."""

    segment: str
    unit: str
    convention: str
    images: int
    with_truth: int
    dice: Figure
    dice_with_truth: Figure
    empty_kept_empty: Figure
    size_error: Figure
    absolute_size_error: Figure
    limits_of_agreement: tuple[float, float] | None
    rows: list[MaskRow]


class LevelResult(_Strict):
    """Slices, studies or single images."""

    level: Literal["slice", "study", "image"]
    cases: int
    patients: int
    grouped_by: str
    labels: list[LabelResult]
    class_wise_calibration_error: Figure | None = None
    runs: list[RunResult] = Field(default_factory=list)
    subgroups: list[Subgroups] = Field(default_factory=list)
    readers: list[Readers] = Field(default_factory=list)


class Evaluation(_Strict):
    """The whole answer of `acutefindings evaluate`."""

    format: int = FORMAT_VERSION
    kind: Literal["evaluation"] = "evaluation"
    predictions: str
    truth: str
    model: str = ""
    software: str
    levels: list[LevelResult] = Field(default_factory=list)
    masks: list[MaskResult] = Field(default_factory=list)
    notices: list[str] = Field(default_factory=list)


class McNemar(_Strict):
    """Cases that one model has right and the other wrong, and the exact two-sided p of such a split."""

    cases: str
    count: int
    only_a: int
    only_b: int
    p_value: float


class LabelComparison(_Strict):
    """Two models on the same cases for one label; differences are A minus B."""

    label: str
    cases: int
    positives: int
    auc_a: Figure
    auc_b: Figure
    difference: Figure
    z: float | None
    p_value: float | None
    p_adjusted: float | None
    roc_a: Curve
    roc_b: Curve
    threshold_a: float
    threshold_b: float
    mcnemar: list[McNemar]


class MaskComparison(_Strict):
    """Two sets of masks on the same images; `p_value` of Wilcoxon's signed-rank test on the pairs."""

    segment: str
    images: int
    dice_a: Figure
    dice_b: Figure
    difference: Figure
    p_value: float | None


class LevelComparison(_Strict):
    """The comparisons at one level."""

    level: Literal["slice", "study", "image"]
    cases: int
    patients: int
    grouped_by: str
    labels: list[LabelComparison]


class Comparison(_Strict):
    """The whole answer of `acutefindings compare`."""

    format: int = FORMAT_VERSION
    kind: Literal["comparison"] = "comparison"
    a: str
    b: str
    truth: str
    software: str
    levels: list[LevelComparison] = Field(default_factory=list)
    masks: list[MaskComparison] = Field(default_factory=list)
    notices: list[str] = Field(default_factory=list)


class PairAgreement(_Strict):
    """Two label sets on the cases that both label. `only_first`: labeled present by the first alone."""

    first: str
    second: str
    cases: int
    both: int
    only_first: int
    only_second: int
    neither: int
    observed: float
    kappa: Figure


class LabelAgreement(_Strict):
    """All label sets for one label: every pair, and all at once (Fleiss) on the cases that every set labels."""

    label: str
    sets: dict[str, int]
    pairs: list[PairAgreement]
    fleiss: Figure
    disagreements: list[dict[str, Any]]


class Agreement(_Strict):
    """The whole answer of `acutefindings agree`."""

    format: int = FORMAT_VERSION
    kind: Literal["agreement"] = "agreement"
    sets: list[str]
    software: str
    labels: list[LabelAgreement]
    notices: list[str] = Field(default_factory=list)
