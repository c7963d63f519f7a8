"""Which columns of a table can be labels, and which describe the case: folds, people, places, dates, identifiers."""

import re

import pandas as pd

from AcuteFindingsLib.evaluation.case_names import plain
from AcuteFindingsLib.evaluation.tables import ABSENT, PRESENT, UNCERTAIN, numbers

# Words that describe a case in the published tables of radiographs and CT (docs/sources.md 2 to 5) and in those that
# tools for cross-validation write. Whole names, so that "left", "right" and "support devices" stay labels.
_DESCRIBES = frozenset(
    (
        "fold", "folds", "kfold", "k_fold", "cv_fold", "split", "set", "subset", "part", "partition", "train",
        "test", "val", "valid", "validation", "dataset", "dataset_label", "source_dataset", "age", "age_years",
        "patient_age", "patientage", "sex", "gender", "male", "female", "is_male", "is_female", "patient_sex",
        "patient_gender", "patientsex_dicom", "race", "ethnicity", "weight", "height", "bmi", "view",
        "view_position", "viewposition", "viewposition_dicom", "projection", "ap_pa", "frontal_lateral", "frontal",
        "lateral", "orientation", "laterality", "body_part", "bodypart", "modality", "date", "study_date",
        "studydate", "acquisition_date", "examination_date", "exam_date", "timestamp", "time", "year", "month",
        "day", "patient_birth", "patientbirth", "birth_date", "follow_up", "index", "idx", "number", "no", "nr",
        "row", "rows", "column", "columns", "line", "order", "position", "location", "slice", "slice_index",
        "slice_number", "slice_no", "z", "frame", "frames", "instance", "instance_number", "n", "count", "level_0",
        "width", "spacing", "pixel_spacing", "spacing_mm", "slice_thickness", "thickness", "kvp", "kv", "mas",
        "exposure", "manufacturer", "scanner", "vendor", "device", "machine", "site", "center", "centre",
        "hospital", "institution", "institute", "ward", "department", "run", "seed", "epoch", "model", "version",
        "threshold", "reader", "annotator", "radiologist", "rater", "label_method", "methodlabel", "patient",
        "subject",
    )
)  # fmt: skip
_ENDINGS = ("_id", "_ids", "_uid", "_date", "_time", "_index", "_fold", "_split", "_age", "_sex", "_mm", "_px")
_UNNAMED = re.compile(r"unnamed_\d+(_.*)?|column_?\d+")


def describes_the_case(name: str) -> bool:
    """Whether a column's name says that it is no label but a fact about the case, its place in a study or a fold."""
    known = plain(name)
    return known in _DESCRIBES or known == "id" or known.endswith(_ENDINGS) or bool(_UNNAMED.fullmatch(known))


def says_present_or_absent(entries: pd.Series) -> bool:
    """Whether a column holds nothing but 1 and 0, their words, and -1 if a reader was unsure."""
    said = entries.dropna().str.lower()
    if said.empty:
        return False
    open_ones = said[~said.isin(PRESENT | ABSENT | UNCERTAIN)]
    return bool(numbers(open_ones).isin((0.0, 1.0, -1.0)).all())


def looks_like_label(table: pd.DataFrame, name: str) -> bool:
    """Whether a column can be a label by its name and by what it holds."""
    return not describes_the_case(name) and says_present_or_absent(table[name])
