from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.study.reader import read_study

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "detector", "options", "tolerance"),
    [
        ("head-ct", "hemorrhage", {"matrix": 64, "slice_spacing": 10}, 0.51),
        ("chest-xray", "pneumothorax", {"size": 96}, 0.01),
    ],
)
def test_the_study_is_the_one_that_reading_its_dicom_gives(
    kind: str, detector: str, options: dict, tolerance: float, tmp_path: Path
) -> None:
    phantom = make_phantom(kind, 5, positive=True, **options)
    made = phantom_study(phantom)
    read = read_study(write_phantom(phantom, tmp_path) / "dicom", requirements=find_kind(detector).requirements)
    assert (made.modality, made.intensity, made.orientation) == (read.modality, read.intensity, read.orientation)
    assert made.array.shape == read.array.shape
    # DICOM stores whole HU, and gray levels of a stated number of bits.
    np.testing.assert_allclose(made.array, read.array, atol=tolerance)
    np.testing.assert_allclose(made.spacing, read.spacing, rtol=1e-6)
    assert [item.k for item in made.sources] == [item.k for item in read.sources]
    assert [item.index for item in made.sources] == [item.index for item in read.sources]
    if kind == "head-ct":
        np.testing.assert_allclose(made.ijk_to_ras, read.ijk_to_ras, atol=1e-4)
        for here, there in zip(made.sources, read.sources, strict=True):
            np.testing.assert_allclose(here.position_ras, there.position_ras, atol=1e-3)
            assert here.thickness_mm == pytest.approx(there.thickness_mm)
    else:
        assert made.dicom.view_position == read.dicom.view_position
