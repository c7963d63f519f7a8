"""Labels of whole examinations of CT pulmonary angiogram phantoms, as the public data set has them."""

from collections.abc import Mapping
from typing import Any

_STATED = ("indeterminate", "left", "right", "central", "chronic", "acute_and_chronic")


def exam_labels(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the labels for a row of a phantom's ``study.csv``; one that is not stated is left out, or NaN.

    As in the public data set, the ventricles are judged in examinations with embolism only.
    """
    positive = float(row.get("pe", "nan"))
    wide = float(row.get("rv_lv_ge_1", "nan"))
    return {
        "pe_present": positive,
        "negative_exam": 1 - positive,
        **{name: float(row[name]) for name in _STATED if name in row},
        "rv_lv_ge_1": positive * wide,
        "rv_lv_lt_1": positive * (1 - wide),
    }
