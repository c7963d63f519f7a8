"""The coded concepts of DICOM results: findings, sites, units, and this program's own names where DICOM has none.

Codes of the schemes DCM and SCT are from PS3.16; units are UCUM. Names that PS3.16 lacks are of the private scheme
`SCHEME`, which every report that uses it identifies.
"""

import hashlib
import unicodedata

import numpy as np
from highdicom.sr import CodedConcept

from AcuteFindingsLib.detectors.code import Code
from AcuteFindingsLib.detectors.finding import Bearing, Finding, Measurement
from AcuteFindingsLib.detectors.kind import ReportCodes
from AcuteFindingsLib.detectors.registry import known_kind

SCHEME = "99ACUTEFINDINGS"

_UNITS = {
    "1": "no units",
    "mm": "mm",
    "mm2": "mm2",
    "mm3": "mm3",
    "mL": "mL",
    "%": "percent",
    "[hnsf'U]": "Hounsfield unit",
}
# What NFKD does not take apart.
_ASCII = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "°": " deg", "≥": ">=", "·": "-"}
)


VERDICTS = {
    "positive": Code("SCT", "52101004", "Present"),
    "negative": Code("SCT", "272519000", "Absent"),
    "indeterminate": Code("SCT", "82334004", "Indeterminate"),
}
"""Values of PS3.16 CID 240 and 4220."""

VERDICT = Code(SCHEME, "VERDICT", "Verdict of the detector")
OPERATING_POINT = Code(SCHEME, "OPERATINGPOINT", "Operating point (threshold)")
PROBABILITY = Code("DCM", "122157", "Probability")
COMMENT = Code("DCM", "121106", "Comment")
FAMILY = Code("DCM", "123110", "Artificial Intelligence")
SOURCE_IMAGE = Code("DCM", "121112", "Source of Measurement")
BY_RULE = Code(SCHEME, "VERDICTBYRULE", "Verdict of the detector by its own rule")
CALIBRATION = Code(SCHEME, "CALIBRATION", "Calibration of the site")
LIKENESS = Code(SCHEME, "LIKENESS", "Likeness to the images of the model")
RULE = Code(SCHEME, "RULE", "Rule of the reason")
REASONS: dict[Bearing, Code] = {
    "for": Code(SCHEME, "REASONFOR", "Reason for the finding"),
    "against": Code(SCHEME, "REASONAGAINST", "Reason against the finding"),
    "caution": Code(SCHEME, "REASONCAUTION", "Caution"),
    "looked": Code(SCHEME, "REASONLOOKED", "What was looked at"),
}
"""Names of the reasons that a reader can check, by what they are to the finding."""


def codes_of(finding: Finding) -> ReportCodes:
    """Return what the detector of a finding looks for; of one that is not installed, what its first mask is of."""
    kind = known_kind(finding.detector)
    if kind is not None:
        return kind.codes
    label = finding.detector.replace("_", " ").capitalize()
    seen = finding.masks[0].type if finding.masks else own_code("finding", label)
    site = finding.masks[0].anatomy if finding.masks else None
    return ReportCodes(label, seen, site, Code("SCT", "363679005", "Imaging procedure"))


def concept(code: Code) -> CodedConcept:
    """Return a code as highdicom wants it."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=ascii_text(code.meaning)[:64])


def unit_concept(unit: str) -> CodedConcept:
    """Return a UCUM unit."""
    return CodedConcept(value=unit, scheme_designator="UCUM", meaning=_UNITS.get(unit, unit))


def own_code(kind: str, name: str) -> Code:
    """Return the private code of a name: always the same, and short enough for every reader (16 characters)."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:12].upper()
    return Code(SCHEME, f"{kind[0].upper()}-{digest}", name)


def measurement_code(item: Measurement) -> Code:
    """Return the code a measurement states, else a private one for its name."""
    return item.code or own_code("measurement", item.name)


def number_of(value: float) -> float:
    """Return a number as a decimal string of 16 characters holds it."""
    return float(np.format_float_positional(value, precision=6, unique=True, trim="0"))


def ascii_text(text: str) -> str:
    """Return text in ASCII: the object keeps the character set of the patient's name, whatever that is."""
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode("ascii")
