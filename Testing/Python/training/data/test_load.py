import os
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.errors import DataError
from AcuteFindingsLib.training.data import Example, MaskSource, read_data
from AcuteFindingsLib.training.data.load import load_image, load_mask, load_study


def test_a_slice_is_in_hu_and_a_radiograph_in_0_to_1(native, builders) -> None:
    table = read_data("rsna-hemorrhage", native("rsna-hemorrhage"))
    slices = next(table.by_series())
    number = int(slices[0].key.removeprefix("ID_")[:4], 16)
    phantom = builders.patient("head-ct", number)
    assert np.allclose(load_image(slices[3]), np.clip(phantom.array[3], -1024, 3071), atol=0.51)
    radiograph = load_image(read_data("siim", native("siim")).examples[0])
    assert np.allclose(radiograph, builders.patient("chest-xray", 0).array[0], atol=0.001)


def test_several_masks_of_one_radiograph_are_joined(native, builders) -> None:
    first, second = read_data("siim", native("siim")).examples[:2]
    assert np.array_equal(load_mask(first, (64, 64)), builders.patient("chest-xray", 0).masks["pneumothorax"][0] > 0)
    assert not load_mask(second, (64, 64)).any()
    with pytest.raises(DataError, match="the mask is 64×64 pixels, the image 32×32"):
        load_mask(first, (32, 32))


def test_a_series_is_read_together_and_each_slice_keeps_its_label(native, builders) -> None:
    slices = next(read_data("pe-study", native("pe-study")).by_series())
    loaded = load_study(slices[::-1])
    number = int(slices[0].patient.rpartition("-")[2]) - 1000
    phantom = builders.patient("ctpa", number)
    assert np.allclose(loaded.study.array, np.clip(phantom.array, -1024, 3071), atol=0.51)
    assert loaded.label("pe").tolist() == phantom.slice_labels["pe"].astype(float).tolist()
    assert np.isnan(loaded.label("other")).all()
    assert loaded.mask() is None


def test_slices_of_two_series_or_none_are_refused(native) -> None:
    one, other = list(read_data("pe-study", native("pe-study")).by_series())[:2]
    with pytest.raises(DataError, match="got 2 series"):
        load_study([one[0], other[0]])
    with pytest.raises(DataError, match="None of the 1 files"):
        load_study([replace(one[0], source=None)])


def test_other_files_beside_the_series_are_not_read(native) -> None:
    by_series = list(read_data("rsna-hemorrhage", native("rsna-hemorrhage")).by_series())
    assert len(load_study(by_series[0]).study.sources) == len(by_series[0]) < sum(map(len, by_series))


def test_the_masks_of_a_phantom_lie_on_its_voxels(native, builders) -> None:
    slices = next(read_data("phantoms", native("phantoms/head-ct")).by_series())
    phantom = builders.patient("head-ct", int(slices[0].patient.rpartition("-")[2]) - 1000)
    loaded = load_study(slices)
    assert np.array_equal(loaded.mask(), phantom.masks["hemorrhage"] > 0)
    assert np.array_equal(loaded.mask("brain"), phantom.masks["brain"] > 0)
    plane = int(np.argmax(phantom.masks["hemorrhage"].sum(axis=(1, 2))))
    assert np.array_equal(load_mask(slices[plane], (64, 64)), phantom.masks["hemorrhage"][plane] > 0)


def test_segments_of_a_correction_are_told_apart(native) -> None:
    slices = next(read_data("corrections", native("corrections")).by_series())
    assert load_image(slices[2]).shape == (16, 16)
    assert load_mask(slices[1], (16, 16), name="Hemorrhage").sum() == 16
    assert load_mask(slices[1], (16, 16), name="Brain").sum() == 100
    assert load_study(slices).mask("Hemorrhage").sum() == 16
    assert load_mask(slices[1], (16, 16), name="Skull") is None


def test_a_mask_picture_is_fitted_to_its_image_but_not_bent(native, tmp_path) -> None:
    example = read_data("lung-masks", native("lung-masks")).examples[0]
    assert load_mask(example, (64, 64)).sum() == pytest.approx(load_mask(example, (128, 128)).sum() / 4, rel=0.05)
    with pytest.raises(DataError, match="is 64×64 pixels, the image 64×48"):
        load_mask(example, (64, 48))


def test_what_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="The image of k is missing"):
        load_image(Example("k"))
    path = tmp_path / "m.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 4, 4), np.uint8)), str(path))
    with pytest.raises(DataError, match=r"m\.nrrd has 2 planes; plane 3"):
        load_mask(Example("k", masks={"x": MaskSource(path=path, plane=2)}), (4, 4))
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        load_mask(Example("k", masks={"x": MaskSource(path=tmp_path / "gone.png")}), (4, 4))


def test_a_volume_that_was_written_anew_is_read_anew(tmp_path) -> None:
    path = tmp_path / "image.nrrd"
    example = Example("k", source=path, task="hemorrhage")
    for level in (-300.0, -200.0):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 4), level, np.float32)), str(path))
        os.utime(path, ns=(0, int(-level)))
        assert load_image(example).mean() == pytest.approx(level)
