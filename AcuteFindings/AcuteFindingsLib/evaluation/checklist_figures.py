"""What a run measured, in sentences for a checklist."""

from AcuteFindingsLib.evaluation.checklist_known import Known
from AcuteFindingsLib.evaluation.schema import Figure

_SHARES = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def metrics(known: Known) -> str:
    """Return what was measured; empty where the run does not know."""
    said = (
        ["Area under the ROC curve, average precision, expected calibration error, Brier score"] if known.labels else []
    )
    said += ["at operating points sensitivity, specificity, accuracy, PPV, NPV and F1"] if known.labels else []
    said += ["Dice and size error of masks"] if known.result.masks else []
    return f"{'; '.join(said)}." if said else ""


def uncertainty(known: Known) -> str:
    """Return how intervals were found; empty where the run does not know."""
    figures = [label.auc for _, label in known.labels]
    figures += [point.figures["sensitivity"] for _, label in known.labels for point in label.points]
    figures += [mask.dice for mask in known.result.masks]
    methods = list(dict.fromkeys(span.method for figure in figures for span in figure.intervals))
    if not methods:
        return ""
    said = f"95 % intervals: {'; '.join(methods)}."
    return f"{said} Readers and model by McNemar's exact test." if _readers(known) else said


def subgroups_measured(known: Known) -> str:
    """Return by which columns subgroups were measured; empty where the run does not know."""
    columns = sorted({group.column for level in known.result.levels for group in level.subgroups})
    return f"Measured by subgroup: {', '.join(columns)}." if columns else ""


def performance(known: Known) -> str:
    """Return areas under the curve and Dice; empty where the run does not know."""
    said = [f"AUC for {label.label} ({level.level}) {_with_interval(label.auc)}" for level, label in known.labels]
    said += [f"Dice of {mask.segment} {_with_interval(mask.dice)}" for mask in known.result.masks]
    return f"{'; '.join(said)}." if said else ""


def at_operating_points(known: Known) -> str:
    """Return sensitivity, specificity and predictive values; empty where the run does not know."""
    said = []
    for level, label in known.labels:
        point = label.points[0]
        shares = ", ".join(f"{words} {_with_interval(point.figures[name])}" for name, words in _SHARES.items())
        said.append(f"{label.label} ({level.level}) at {point.threshold:.3f}: {shares}")
    return f"{'; '.join(said)}." if said else ""


def cross_table(known: Known) -> str:
    """Return counts at the first operating point; empty where the run does not know."""
    said = []
    for level, label in known.labels:
        one = label.points[0]
        said.append(
            f"{label.label} ({level.level}) at {one.threshold:.3f}: {one.true_positive} true positive, "
            f"{one.false_positive} false positive, {one.true_negative} true negative, {one.false_negative} false "
            "negative"
        )
    return f"{'; '.join(said)}. The distribution stands in the report of the evaluation." if said else ""


def failures(known: Known) -> str:
    """Return how many cases are wrong; empty where the run does not know."""
    said = []
    for level, label in known.labels:
        one = label.points[0]
        said.append(
            f"{label.label} ({level.level}): {one.false_positive} false positive, {one.false_negative} false negative"
        )
    more = " By subgroup they stand in the report of the evaluation." if subgroups_measured(known) else ""
    return f"Wrong at the first operating point: {'; '.join(said)}.{more}" if said else ""


def cutoffs(known: Known) -> str:
    """Return the operating points and how each was chosen; empty where the run does not know."""
    said = [
        f"{label.label} ({level.level}) {point.threshold:.3f}, "
        f"{'set beforehand' if point.stated_beforehand else 'explored on these cases'} ({point.chosen})"
        for level, label in known.labels
        for point in label.points
    ]
    return f"{'; '.join(said)}." if said else ""


def _readers(known: Known) -> bool:
    return any(level.readers for level in known.result.levels)


def _with_interval(figure: Figure) -> str:
    if figure.value is None:
        return "not defined"
    span = f" ({figure.intervals[0].low:.3f} to {figure.intervals[0].high:.3f})" if figure.intervals else ""
    return f"{figure.value:.3f}{span}"
