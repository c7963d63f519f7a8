"""What people call the findings, their slices and their nodes."""

from dataclasses import dataclass

from AcuteFindingsLib.detectors.finding import Finding, SliceResult
from AcuteFindingsLib.detectors.verdict_words import APART, FORCED, is_forced, marks, verdict_words


@dataclass(frozen=True)
class Names:
    """`finding` as in a sentence's beginning, `short` as a node's first word, `study` as a volume is called.

    `module` is the title of the module in Slicer.
    """

    finding: str
    short: str
    study: str
    module: str


_NAMES = {
    "pe": Names("Pulmonary embolism", "PE", "CT pulmonary angiogram", "PE Detect"),
    "hemorrhage": Names("Intracranial hemorrhage", "Hemorrhage", "Head CT", "Hemorrhage Detect"),
    "pneumothorax": Names("Pneumothorax", "Pneumothorax", "Chest radiograph", "Pneumothorax Seg"),
}


def names_of(detector: str) -> Names:
    """Return the names that belong to a detector; an unknown one is called by its own identifier."""
    said = detector.capitalize()
    return _NAMES.get(detector, Names(said, said, "Study", said))


_LABELS = {"any": "Any hemorrhage"}


def label_words(finding: Finding, label: str) -> str:
    """Return what a label of a finding is called where people read it, for example ``"Any hemorrhage"``."""
    known = names_of(finding.detector).finding if label == finding.main_label else label.replace("_", " ")
    words = _LABELS.get(label, known)
    return words[:1].upper() + words[1:]


def slice_number(result: SliceResult) -> int:
    """Return the number a person reads for a slice: counted from 1, as on a workstation."""
    return result.index + 1


def verdict_line(finding: Finding) -> str:
    """Return the verdict in one line, for example ``"Pneumothorax: POSITIVE, probability 0.93"``, with its marks."""
    return f"{names_of(finding.detector).finding}: {verdict_words(finding, probability=True)}"


def chart_title(finding: Finding) -> str:
    """Return the title of the chart; a verdict that cannot stand alone is the second line."""
    title = f"{names_of(finding.detector).finding}: probability by slice"
    return f"{title}\n{verdict_words(finding)}" if is_forced(finding) or marks(finding) else title


def title_lines(title: str) -> str:
    """Return a verdict's line as the lines that a picture's corner has room for, beside the letter at its top."""
    lines = title.replace(": ", "\n", 1).replace(APART, "\n")
    return lines.replace(", probability", "\nprobability") if FORCED in lines else lines
