"""What a finding keeps of scanner and protocol, and what it never does."""

from dataclasses import asdict, replace

import numpy as np

from AcuteFindingsLib.detectors.acquisition import Acquisition, acquisition_from_dict, acquisition_of
from AcuteFindingsLib.study.study import DicomFacts, SourceSlice, Study

FACTS = DicomFacts(
    study_instance_uid="1.2.3",
    series_description="HEAD OF DOE JOHN",
    manufacturer="ACME  Medical",
    device_model="Scan\x1b[31m One",
    kvp=120.0,
    convolution_kernel="H31s",
    slice_thickness_mm=5.0,
)


def study(count: int) -> Study:
    sources = tuple(SourceSlice(n, None, 0, f"1.2.{n}", (0.0, 0.0, 2.0 * n), float(n)) for n in range(count))
    return Study(
        np.zeros((count, 4, 4), np.float32), np.diag([-0.5, -0.45, 2.0, 1.0]), "CT", "HU", "axial", sources, dicom=FACTS
    )


def test_an_acquisition_states_scanner_and_protocol_in_plain_text():
    found = acquisition_of(study(3))
    assert (found.manufacturer, found.model, found.kernel) == ("ACME Medical", "Scan [31m One", "H31s")
    assert (found.kvp, found.thickness_mm, found.contrast, found.images) == (120.0, 5.0, False, 3)
    assert found.spacing_mm == (2.0, 0.45, 0.5)


def test_an_acquisition_holds_nothing_of_the_patient():
    told = " ".join(map(str, asdict(acquisition_of(study(3))).values()))
    assert "DOE" not in told
    assert "1.2.3" not in told


def test_a_single_image_has_no_distance_between_slices_and_states_no_contrast():
    found = acquisition_of(study(1))
    assert found.spacing_mm == (0.0, 0.45, 0.5)
    assert found.contrast is None


def test_an_assumed_size_of_pixels_is_not_kept():
    assert acquisition_of(replace(study(3), pixel_spacing_known=False)).spacing_mm is None


def test_what_a_later_version_adds_is_left_aside():
    assert acquisition_from_dict({"kernel": "B30", "spacing_mm": [1, 2, 3], "coil": "head"}) == Acquisition(
        kernel="B30", spacing_mm=(1, 2, 3)
    )
