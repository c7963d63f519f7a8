"""What people call the findings, their slices and their nodes."""

from dataclasses import dataclass

from AcuteFindingsLib.detectors.finding import Finding, SliceResult


@dataclass(frozen=True)
class Names:
    """`finding` as in a sentence's beginning, `short` as a node's first word, `study` as a volume is called."""

    finding: str
    short: str
    study: str


_NAMES = {
    "pe": Names("Pulmonary embolism", "PE", "CT pulmonary angiogram"),
    "hemorrhage": Names("Intracranial hemorrhage", "Hemorrhage", "Head CT"),
    "pneumothorax": Names("Pneumothorax", "Pneumothorax", "Chest radiograph"),
}


def names_of(detector: str) -> Names:
    """Return the names that belong to a detector; an unknown one is called by its own identifier."""
    return _NAMES.get(detector, Names(detector.capitalize(), detector.capitalize(), "Study"))


def slice_number(result: SliceResult) -> int:
    """Return the number a person reads for a slice: counted from 1, as on a workstation."""
    return result.index + 1


def verdict_line(finding: Finding) -> str:
    """Return the verdict in one line, for example ``"Pneumothorax: POSITIVE, probability 0.93"``."""
    verdict = finding.verdict
    return f"{names_of(finding.detector).finding}: {verdict.label.upper()}, probability {verdict.probability:.2f}"
