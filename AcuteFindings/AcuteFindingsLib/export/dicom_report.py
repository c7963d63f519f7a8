"""A finding as DICOM Structured Report of template TID 1500, Measurement Report (PS3.16)."""

from typing import Any

from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as Number
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.detectors.finding import Code, Finding, Measurement, SliceResult
from AcuteFindingsLib.detectors.verdict_words import is_forced, marks, verdict_words
from AcuteFindingsLib.detectors.wording import label_measured
from AcuteFindingsLib.export.dicom_codes import (
    COMMENT,
    FAMILY,
    OPERATING_POINT,
    PROBABILITY,
    SCHEME,
    VERDICT,
    VERDICTS,
    ascii_text,
    codes_of,
    concept,
    measurement_code,
    number_of,
    own_code,
    unit_concept,
)
from AcuteFindingsLib.export.dicom_object import MANUFACTURER, REPORT, equipment_and_series, making
from AcuteFindingsLib.export.dicom_reasons import by_rule, trust_items
from AcuteFindingsLib.export.dicom_source import SourceInstances

Group = (
    MeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
)


def report_finding(finding: Finding, source: SourceInstances, *, masks: Segmentation | None = None) -> ComprehensiveSR:
    """Return a finding as a structured report.

    It holds, each as a group of TID 1501, 1410 or 1411: the verdict with its probability, operating point, rule,
    explanation and the reasons that a reader can check; the measurements, of the first segment where `masks` is written
    beside it; the probability of every slice for every label, each naming the image (and frame) that it is about. Every
    group names the model, its version and the SHA-256 of its weights. The report is complete, preliminary and
    unverified: no person has seen it.

    Parameters
    ----------
    finding
        What is reported.
    source
        The instances it was found in.
    masks
        The segmentation of the same finding, from `dicom_segmentation.segment_masks`.

    Raises
    ------
    ExportError
        When the headers of the source do not fit the standard.
    """
    known = codes_of(finding)
    arguments = equipment_and_series(finding, source, REPORT, f"{known.label} report (AcuteFindings)")
    with making("structured report"):
        groups: list[Group] = [_verdict(finding, source)]
        groups += _measurements(finding, masks)
        groups += [_label(finding, label, source) for label in finding.labels]
        content = MeasurementReport(
            observation_context=_observer(finding),
            procedure_reported=concept(known.procedure),
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        return ComprehensiveSR(
            evidence=[*source.headers, *([] if masks is None else [masks])],
            content=content,
            is_complete=True,
            is_final=False,
            is_verified=False,
            coding_schemes=[
                CodingSchemeIdentificationItem(
                    SCHEME, name="AcuteFindings private codes", responsible_organization=MANUFACTURER
                )
            ],
            **arguments,
        )


def _observer(finding: Finding) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        # The same for every report of this version with this model: it names the device, not the report.
        uid=generate_uid(entropy_srcs=[MANUFACTURER, __version__, finding.model.sha256]),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=ascii_text(f"{finding.model.id} {finding.model.version}")[:64],
        serial_number=finding.model.sha256[:16] or "0",
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _algorithm(finding: Finding) -> AlgorithmIdentification:
    model = finding.model
    return AlgorithmIdentification(
        name=ascii_text(model.id),
        version=ascii_text(model.version),
        parameters=[f"weights SHA-256: {model.sha256}", ascii_text(f"trained on: {model.trained_on}")],
        family=concept(FAMILY),
        manufacturer=MANUFACTURER,
    )


def _verdict(finding: Finding, source: SourceInstances) -> Group:
    known, verdict = codes_of(finding), finding.verdict
    said, marked = verdict_words(finding), is_forced(finding) or bool(marks(finding))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"{known.label}: {said}" if marked else f"{known.label}: verdict"),
        finding_type=concept(known.finding),
        finding_sites=_sites(known.site),
        algorithm_id=_algorithm(finding),
        measurements=[
            Number(concept(PROBABILITY), number_of(verdict.probability), unit_concept("1")),
            Number(concept(OPERATING_POINT), number_of(verdict.threshold), unit_concept("1")),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(concept(VERDICT), concept(VERDICTS[verdict.label])),
            *by_rule(finding),
        ],
    )
    warnings = [notice.text for notice in finding.warnings if notice.severity != "info"]
    for text in (*([said] if marked else []), verdict.rule, verdict.explanation, *warnings, RESEARCH_USE_ONLY):
        group[0].ContentSequence.append(
            TextContentItem(
                name=concept(COMMENT), value=ascii_text(text), relationship_type=RelationshipTypeValues.CONTAINS
            )
        )
    group[0].ContentSequence.extend(trust_items(finding, source))
    return group


def _measurements(finding: Finding, masks: Segmentation | None) -> list[Group]:
    """Return the measurements: sizes with the segment they were taken from, other numbers by themselves."""
    known = codes_of(finding)
    single = len(finding.slices) == 1
    # Of a single image the probabilities of the labels have groups of their own.
    items = [item for item in finding.measurements if not (single and label_measured(item))]
    sizes = [item for item in items if item.unit != "1"]
    others = [item for item in items if item.unit == "1"]
    groups: list[Group] = []
    common: dict[str, Any] = {"finding_type": concept(known.finding), "algorithm_id": _algorithm(finding)}
    number = _lesion_segment(finding, masks)
    if masks is not None and number:
        common_roi = {
            **common,
            "tracking_identifier": _tracking_of(masks, number),
            "finding_sites": _sites(known.site),
            "measurements": [_numeric(item) for item in sizes] or None,
        }
        groups.append(_of_segment(masks, number, common_roi))
    elif sizes:
        others = sizes + others
    if others:
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=_tracking(f"{known.label}: measurements"),
                measurements=[_numeric(item) for item in others],
                **common,
            )
        )
    return groups


def _lesion_segment(finding: Finding, masks: Segmentation | None) -> int:
    """Return the number of the segment of the finding itself; 0 where its mask was empty and so has none."""
    if masks is None or not finding.masks:
        return 0
    name = ascii_text(finding.masks[0].name)[:64]
    return next((int(item.SegmentNumber) for item in masks.SegmentSequence if item.SegmentLabel == name), 0)


def _of_segment(masks: Segmentation, number: int, arguments: dict) -> Group:
    frames = [
        place for place, item in enumerate(masks.PerFrameFunctionalGroupsSequence, 1) if _is_of(masks, item, number)
    ]
    first = masks.SourceImageSequence[0]
    if "FrameOfReferenceUID" in masks:
        series = SourceSeriesForSegmentation(masks.ReferencedSeriesSequence[0].SeriesInstanceUID)
        segment = ReferencedSegment(masks.SOPClassUID, masks.SOPInstanceUID, number, source_series=series)
        return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **arguments)
    frame = ReferencedSegmentationFrame(
        masks.SOPClassUID,
        masks.SOPInstanceUID,
        frames[0],
        number,
        SourceImageForSegmentation(first.ReferencedSOPClassUID, first.ReferencedSOPInstanceUID),
    )
    # A frame is of one segment: naming both is an error (PS3.3 C.18.4).
    del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **arguments)


def _is_of(masks: Segmentation, item: Dataset, number: int) -> bool:
    """Whether a frame is of a segment; of a single segment, highdicom says so once for all frames."""
    groups = item if "SegmentIdentificationSequence" in item else masks.SharedFunctionalGroupsSequence[0]
    return int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber) == number


def _label(finding: Finding, label: str, source: SourceInstances) -> Group:
    """Return a label's probability in every slice, with the image it is about."""
    known = codes_of(finding)
    main = label == finding.main_label
    kind = known.finding if main else own_code("label", label.replace("_", " ").capitalize())
    single = len(finding.slices) == 1
    numbers: list[Number] = []
    for item in finding.slices:
        reference = source.reference(item.index) if item.index < len(source.planes) else None
        about = reference is not None and reference[1] == item.sop_instance_uid
        numbers.append(
            Number(
                concept(PROBABILITY),
                number_of(item.probabilities[label]),
                unit_concept("1"),
                tracking_identifier=None if about else _tracking(_place(item)),
                referenced_images=[SourceImageForMeasurement(*reference)] if about and reference else None,
            )
        )
    if main:
        numbers.append(Number(concept(OPERATING_POINT), number_of(finding.slice_threshold), unit_concept("1")))
    what = "probability" if single else "probability in every slice"
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(f"{kind.meaning}: {what}"),
        finding_type=concept(kind),
        algorithm_id=_algorithm(finding),
        measurements=numbers,
    )


def _place(item: SliceResult) -> str:
    """Say which plane a probability is about where no source image is that plane."""
    height = item.position_ras[2]
    return f"axial plane {item.index + 1}, {height:+.1f} mm (reformatted)"


def _sites(site: Code | None) -> list[FindingSite] | None:
    return None if site is None else [FindingSite(concept(site))]


def _numeric(item: Measurement) -> Number:
    return Number(concept(measurement_code(item)), number_of(item.value), unit_concept(item.unit))


def _tracking(text: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=UID(), identifier=ascii_text(text))


def _tracking_of(masks: Segmentation, number: int) -> TrackingIdentifier:
    described = masks.SegmentSequence[number - 1]
    return TrackingIdentifier(uid=described.TrackingUID, identifier=described.TrackingID)
