"""Names and numbers of a finding as people read them, the same in panel, scene and report."""

from dataclasses import dataclass

from AcuteFindingsLib.detectors.finding import Measurement
from AcuteFindingsLib.detectors.registry import known_kind

TUBES = ("chest_drain", "tracheostomy", "endotracheal", "nasogastric")
"""Labels of chest findings models that are tubes, not diseases."""

_OF_LABEL = "Probability: "
_OF_PICTURE = " probability, "
_UNITS = {"1": "", "mm2": "mm²", "mm3": "mm³", "[hnsf'U]": "HU"}
_DECIMALS = {"mm2": 0, "mm3": 0, "mL": 1, "mm": 1, "%": 1, "[hnsf'U]": 0}


@dataclass(frozen=True)
class Names:
    """`finding` as in a sentence's beginning, `short` as a node's first word, `study` as a volume is called.

    `module` is the title of the module in Slicer.
    """

    finding: str
    short: str
    study: str
    module: str


def names_of(detector: str) -> Names:
    """Return the names that belong to a detector; one that is not installed is called by its own identifier."""
    kind = known_kind(detector)
    if kind is not None:
        return Names(kind.finding, kind.short, kind.study, kind.module_title)
    said = detector.capitalize()
    return Names(said, said, "Study", said)


def in_sentence(name: str) -> str:
    """Return a name as it stands within a sentence: ``"head CT"`` for ``"Head CT"``, ``"CT angiogram"`` as it is."""
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def probability_text(value: float) -> str:
    """Return a probability with two decimals; never a 0 or 1 that it is not."""
    if 0 < value < 0.005:
        return "< 0.01"
    if 0.995 <= value < 1:
        return "> 0.99"
    return f"{value:.2f}"


def unit_text(unit: str) -> str:
    """Return a UCUM unit as people write it: ``"mm²"`` for ``"mm2"``, nothing for ``"1"``."""
    return _UNITS.get(unit, unit)


def value_text(item: Measurement) -> str:
    """Return a measurement's number with as many decimals as its unit deserves, without the unit."""
    if item.unit == "1" and "probability" in item.name.lower():
        return probability_text(item.value)
    return f"{item.value:.{_DECIMALS[item.unit]}f}" if item.unit in _DECIMALS else f"{item.value:.3g}"


def label_measured(item: Measurement) -> str:
    """Return the label, in words, whose probability a measurement states; ``""`` where it states something else."""
    return item.name.removeprefix(_OF_LABEL) if item.name.startswith(_OF_LABEL) else ""


def picture_measured(item: Measurement) -> str:
    """Return what a network was shown (``"lungs only"``) where a measurement is its answer to that, else ``""``.

    Such a measurement is called after its finding: ``"Pneumothorax probability, lungs only"``.
    """
    return item.name.partition(_OF_PICTURE)[2]
