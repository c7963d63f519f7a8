import numpy as np
import pytest

from AcuteFindingsLib.training import first_arrays
from AcuteFindingsLib.training.first_arrays import (
    BLEEDS,
    EXAM,
    PATHOLOGIES,
    TUBES,
    chest_xray_arrays,
    ctpa_arrays,
    head_ct_arrays,
)


@pytest.fixture
def thick_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make phantoms of few slices with a finding."""
    real = first_arrays.make_phantom
    thick = {"head-ct": 10, "ctpa": 5}
    monkeypatch.setattr(
        first_arrays,
        "make_phantom",
        lambda kind, seed, **fields: real(kind, seed, **{**fields, "positive": True, "slice_spacing": thick[kind]}),
    )


@pytest.mark.usefixtures("thick_slices")
def test_a_head_gives_one_picture_mask_and_label_row_a_slice() -> None:
    arrays = head_ct_arrays(3, settings={"size": 64, "pixel_mm": 4.0}, matrix=96)
    count = len(arrays["images"])
    assert arrays["images"].shape == arrays["mask"].shape == (count, 64, 64)
    assert arrays["labels"].shape == (count, len(BLEEDS))
    assert {item.dtype for item in arrays.values()} == {np.dtype(np.uint8)}
    assert arrays["images"].max() > 200
    assert set(np.unique(arrays["mask"])) == {0, 1}
    np.testing.assert_array_equal(arrays["labels"][:, 0], arrays["labels"][:, 1:].max(axis=1))
    assert not arrays["mask"][arrays["labels"][:, 0] == 0].sum() > arrays["mask"][arrays["labels"][:, 0] == 1].sum()


@pytest.mark.usefixtures("thick_slices")
def test_a_chest_gives_pictures_of_the_models_spacing_with_their_labels() -> None:
    arrays = ctpa_arrays(3, settings={"size": 64, "slice_mm": 10.0, "crop": True}, matrix=96)
    count = len(arrays["images"])
    assert arrays["images"].shape == (count, 64, 64)
    assert arrays["slices"].shape == (count,)
    assert arrays["where"].shape == (count, 16, 16)
    assert arrays["exam"].shape == (len(EXAM),)
    assert arrays["exam"][EXAM.index("pe_present")] == 1
    assert arrays["slices"].any()
    assert arrays["where"].any()


def test_a_radiograph_gives_its_picture_masks_and_labels() -> None:
    arrays = chest_xray_arrays(3, settings={"size": 64}, size=128)
    assert arrays["image"].shape == arrays["pneumothorax"].shape == arrays["lungs"].shape == (64, 64)
    assert arrays["pathologies"].shape == (len(PATHOLOGIES),)
    assert arrays["tubes"].shape == (len(TUBES),)
    assert arrays["image"].max() == 255
    assert arrays["lungs"].any()
