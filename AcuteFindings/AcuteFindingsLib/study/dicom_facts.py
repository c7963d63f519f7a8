"""The header facts that matter to a detector, taken from one frame of a series."""

from typing import Any

from pydicom.dataset import Dataset

from AcuteFindingsLib.study.dicom_frames import Frame, attribute, number, words
from AcuteFindingsLib.study.evidence import INFANT, meaning_of, parts_stated
from AcuteFindingsLib.study.study import DicomFacts

# SNOMED CT and SRT codes of the views that matter here, from PS3.16 CID 4010 "DX View".
_VIEW_CODES = {
    "399348003": "AP", "R-10206": "AP", "272479007": "PA", "R-10214": "PA", "399173006": "LL", "R-10236": "LL",
    "399198007": "RL", "R-10232": "RL", "399067008": "LATERAL", "R-102CD": "LATERAL",
}  # fmt: skip

# PS3.5 6.2, value representation AS.
_AGE_DAYS = {"D": 1, "W": 7, "M": 30.44, "Y": 365.25}
INFANT_DAYS = 2 * 365.25
"""Below two years fontanelles are open and the brain is not yet myelinated; the sources' studies are of adults."""


def facts_of(frame: Frame, *, tilt_deg: float = 0.0) -> DicomFacts:
    """Return a series' facts from one of its frames; `tilt_deg` is what the slices' positions say."""
    header = frame.header

    def get(keyword: str, group: str = "") -> Any:
        return attribute(header, keyword, group=group, frame=frame.number)

    stated_tilt = number(get("GantryDetectorTilt", "CTAcquisitionDetailsSequence"))
    series_number = number(get("SeriesNumber"))
    texts = [str(get(keyword) or "") for keyword in ("SeriesDescription", "ProtocolName", "StudyDescription")]
    stated = meaning_of(texts, image_type=frame.image_type)
    if is_infant(header):
        stated = (*stated, INFANT)
    return DicomFacts(
        study_instance_uid=str(get("StudyInstanceUID") or ""),
        series_instance_uid=str(get("SeriesInstanceUID") or ""),
        frame_of_reference_uid=str(get("FrameOfReferenceUID") or ""),
        sop_class_uid=str(get("SOPClassUID") or ""),
        transfer_syntax_uid=str(getattr(header, "file_meta", {}).get("TransferSyntaxUID", "")),
        series_number=None if series_number is None else int(series_number),
        series_description=str(get("SeriesDescription") or ""),
        image_type=frame.image_type,
        body_part=body_part_of(frame),
        patient_position=str(get("PatientPosition") or ""),
        manufacturer=str(get("Manufacturer") or ""),
        device_model=str(get("ManufacturerModelName") or ""),
        kvp=number(get("KVP", "CTXRayDetailsSequence")),
        convolution_kernel="/".join(words(get("ConvolutionKernel", "CTReconstructionSequence"))),
        contrast_agent=contrast_of(header),
        slice_thickness_mm=frame.thickness_mm,
        gantry_tilt_deg=stated_tilt or round(tilt_deg, 2),
        photometric_interpretation=str(get("PhotometricInterpretation") or ""),
        window_level=number(get("WindowCenter", "FrameVOILUTSequence")),
        window_width=number(get("WindowWidth", "FrameVOILUTSequence")),
        view_position=view_of(header),
        patient_orientation=words(get("PatientOrientation")),
        laterality=str(get("ImageLaterality") or get("Laterality") or ""),
        burned_in_annotation=str(get("BurnedInAnnotation") or ""),
        rescale_type=str(get("RescaleType", "PixelValueTransformationSequence") or ""),
        stated_parts=parts_stated(texts),
        stated=stated,
    )


def is_infant(header: Dataset) -> bool:
    """Whether Patient's Age (0010,1010) is below two years."""
    age = str(header.get("PatientAge") or "").strip().upper()
    return age[:-1].isdigit() and age[-1] in _AGE_DAYS and int(age[:-1]) * _AGE_DAYS[age[-1]] < INFANT_DAYS


def body_part_of(frame: Frame) -> str:
    """Return the body part in upper case: the header's word, else the meaning of its anatomic region code."""
    header = frame.header
    if header.get("BodyPartExamined"):
        return str(header.BodyPartExamined).strip().upper()
    regions = attribute(header, "AnatomicRegionSequence", group="FrameAnatomySequence", frame=frame.number)
    return str(regions[0].get("CodeMeaning", "")).strip().upper() if regions else ""


def contrast_of(header: Dataset) -> str:
    """Return the contrast agent, by name or code meaning; empty where the header states none."""
    if header.get("ContrastBolusAgent"):
        return str(header.ContrastBolusAgent).strip()
    agents = header.get("ContrastBolusAgentSequence")
    return (str(agents[0].get("CodeMeaning") or "").strip() or "stated") if agents else ""


def view_of(header: Dataset) -> str:
    """Return the view of a radiograph (``"PA"``, ``"AP"``, ``"LL"``, ...): the header's word, else its code."""
    if header.get("ViewPosition"):
        return str(header.ViewPosition).strip().upper()
    codes = header.get("ViewCodeSequence")
    return _VIEW_CODES.get(str(codes[0].get("CodeValue", "")), "") if codes else ""
