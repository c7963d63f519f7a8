"""Data sets: reading them in the layouts in which people have them, checking, dividing, sampling, caching."""

from AcuteFindingsLib.training.data.folds import Fold, folds, split
from AcuteFindingsLib.training.data.read import KINDS, detect_kind, read_data
from AcuteFindingsLib.training.data.table import Box, Counts, DataTable, Example, MaskSource, Problem

__all__ = [
    "KINDS",
    "Box",
    "Counts",
    "DataTable",
    "Example",
    "Fold",
    "MaskSource",
    "Problem",
    "detect_kind",
    "folds",
    "read_data",
    "split",
]
