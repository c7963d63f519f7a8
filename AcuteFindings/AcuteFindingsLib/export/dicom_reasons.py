"""What a reader can check of a verdict, and what changed it, as content items of a structured report."""

from highdicom.sr import (
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
)

from AcuteFindingsLib.detectors.code import Code
from AcuteFindingsLib.detectors.finding import Finding, Reason
from AcuteFindingsLib.detectors.verdict_words import likeness_words
from AcuteFindingsLib.export.dicom_codes import (
    BY_RULE,
    CALIBRATION,
    LIKENESS,
    REASONS,
    RULE,
    SOURCE_IMAGE,
    VERDICTS,
    ascii_text,
    concept,
    measurement_code,
    number_of,
    unit_concept,
)
from AcuteFindingsLib.export.dicom_source import SourceInstances

_PROPERTY = RelationshipTypeValues.HAS_PROPERTIES


def by_rule(finding: Finding) -> list[QualitativeEvaluation]:
    """Return what the model's own rule said, where calibration, likeness or reasons changed it."""
    said = finding.verdict.by_rule
    return [] if said is None else [QualitativeEvaluation(concept(BY_RULE), concept(VERDICTS[said]))]


def trust_items(finding: Finding, source: SourceInstances) -> list[ContentItem]:
    """Return the site's calibration, likeness, and every reason with its figures, rule and image; each a text."""
    items: list[ContentItem] = []
    if finding.verdict.calibration:
        items.append(_text(CALIBRATION, finding.verdict.calibration))
    if finding.likeness is not None:
        items.append(_text(LIKENESS, likeness_words(finding.likeness)))
    return [*items, *(_reason(reason, finding, source) for reason in finding.reasons)]


def _reason(reason: Reason, finding: Finding, source: SourceInstances) -> ContentItem:
    item = _text(REASONS[reason.bearing], reason.text)
    parts: list[ContentItem] = [
        NumContentItem(
            concept(measurement_code(value)),
            number_of(value.value),
            unit_concept(value.unit),
            relationship_type=_PROPERTY,
        )
        for value in reason.values
    ]
    rule = f"{reason.code} ({reason.source})" if reason.source else reason.code
    parts.append(TextContentItem(concept(RULE), ascii_text(rule), relationship_type=_PROPERTY))
    image = _image(reason, finding, source)
    if image is not None:
        parts.append(image)
    item.ContentSequence = ContentSequence(parts)
    return item


def _image(reason: Reason, finding: Finding, source: SourceInstances) -> ImageContentItem | None:
    """Return the image that a reason is about; None where it is about none, or about a plane between images."""
    place = reason.index
    about = next((one for one in finding.slices if one.index == place), None)
    if about is None or about.index >= len(source.planes):
        return None
    reference = source.reference(about.index)
    if reference[1] != about.sop_instance_uid:
        return None
    return ImageContentItem(concept(SOURCE_IMAGE), *reference, relationship_type=RelationshipTypeValues.INFERRED_FROM)


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(concept(name), ascii_text(value), relationship_type=RelationshipTypeValues.CONTAINS)
