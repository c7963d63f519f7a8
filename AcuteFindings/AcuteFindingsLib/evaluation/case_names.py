"""Names of columns and cases as they are compared."""

import re

_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".tiff")


def plain(name: str) -> str:
    """Return a column's name as it is compared: lower case, words joined by one underscore, without "tube"."""
    return re.sub(r"_tube$", "", re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_"))


def case_key(text: str) -> str:
    """Return a case's name without the suffix of an image file, with forward slashes."""
    text = str(text).replace("\\", "/").removeprefix("./")
    low = text.lower()
    return next((text[: -len(suffix)] for suffix in _SUFFIXES if low.endswith(suffix)), text)


def loose_key(text: str) -> str:
    """Return a case's name as spreadsheets may change it: in lower case, numbers without leading zeros and ``.0``."""
    key = case_key(text).lower()
    found = re.fullmatch(r"0*(\d+)(?:\.0+)?", key)
    return found.group(1) if found else key
