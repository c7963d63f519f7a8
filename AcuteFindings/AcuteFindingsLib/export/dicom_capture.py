"""A picture of a finding, such as its chart, as DICOM Secondary Capture."""

import numpy as np
from highdicom.enum import CoordinateSystemNames
from highdicom.sc import SCImage
from pydicom.uid import ExplicitVRLittleEndian

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.export.dicom_codes import ascii_text, codes_of
from AcuteFindingsLib.export.dicom_object import CAPTURE, equipment_and_series, making
from AcuteFindingsLib.export.dicom_source import SourceInstances


def capture_picture(picture: np.ndarray, caption: str, finding: Finding, source: SourceInstances) -> SCImage:
    """Return a picture as Secondary Capture in the study of the source.

    Parameters
    ----------
    picture
        ``(y, x, 3)`` uint8, RGB.
    caption
        What it shows; becomes the image comment.
    finding
        What the picture is of.
    source
        The instances it was found in.

    Raises
    ------
    ExportError
        When the headers of the source do not fit the standard.
    """
    known = codes_of(finding)
    arguments = equipment_and_series(finding, source, CAPTURE, f"{known.label} picture (AcuteFindings)")
    with making("secondary capture"):
        image = SCImage.from_ref_dataset(
            source.first,
            np.ascontiguousarray(picture, np.uint8),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system=CoordinateSystemNames.PATIENT,
            patient_orientation=("L", "F"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **arguments,
        )
        # A chart has none; PS3.3 C.7.6.1 wants it stated, even empty, and so wants C.7.3.1 the side of a body part that
        # is not known to be unpaired.
        image.PatientOrientation = []
        if known.body_part:
            image.BodyPartExamined = known.body_part
        else:
            image.Laterality = ""
        image.BurnedInAnnotation = "NO"
        image.ImageComments = ascii_text(caption)
        return image
