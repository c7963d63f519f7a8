"""What people call the labels, slices and nodes of findings."""

from AcuteFindingsLib.detectors.finding import Finding, SliceResult
from AcuteFindingsLib.detectors.registry import known_kind
from AcuteFindingsLib.detectors.verdict_words import APART, FORCED, is_forced, marks, verdict_words
from AcuteFindingsLib.detectors.wording import names_of


def label_words(finding: Finding, label: str) -> str:
    """Return what a label of a finding is called where people read it, for example ``"Any hemorrhage"``."""
    kind = known_kind(finding.detector)
    # Those that are not the finding itself: "any" of the hemorrhages. What else a model calls its main label is it.
    others = {} if kind is None else {one.name: one.heading for one in kind.task.labels if one.meaning != kind.finding}
    if label == finding.main_label and label not in others:
        words = names_of(finding.detector).finding
    else:
        words = others.get(label) or label.replace("_", " ")
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
