import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.study.blood_pool import blood_pool_hu
from AcuteFindingsLib.study.content import ct_content
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

pytestmark = pytest.mark.slow


@cache
def phantom(contrast: float) -> Study:
    return phantom_study(make_phantom("ctpa", 3, positive=False, matrix=128, slice_spacing=5.0, contrast=contrast))


@pytest.mark.parametrize(("contrast", "expected"), [(0, 40), (500, 500)])
def test_blood_of_a_phantom_is_as_bright_as_it_was_made(contrast, expected):
    assert blood_pool_hu(phantom(contrast)) == pytest.approx(expected, rel=0.25, abs=10)


def test_blood_does_not_depend_on_the_direction_of_the_axes():
    study = phantom(500)
    matrix = study.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 0] * (study.array.shape[2] - 1)
    matrix[:3, 0] *= -1
    turned = Study(study.array[:, :, ::-1].transpose(1, 0, 2), matrix[:, [0, 2, 1, 3]], "CT", "HU", "coronal", ())
    assert blood_pool_hu(turned) == pytest.approx(blood_pool_hu(study), rel=0.05)


def test_blood_of_the_real_chest_without_contrast_is_that_of_plain_blood(data_folder: Path):
    study = read_study(data_folder / "chest-ct-dicom")
    start = time.process_time()
    measured = blood_pool_hu(study)
    assert time.process_time() - start < 3
    assert 30 < measured < 60


def test_blood_of_the_real_angiogram_is_near_its_pulmonary_artery(data_folder: Path):
    folder = data_folder / "cta-pulmonary-artery"
    study = read_study(folder / "ct_cropped.nii.gz")
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ct_cropped.nii.gz")))
    artery = hu[sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "pulmonary_artery.nii.gz"))) > 0].mean()
    assert blood_pool_hu(study) == pytest.approx(artery, rel=0.15)


def test_without_a_chest_there_is_no_blood_pool():
    array = np.full((10, 64, 64), -1000, np.float32)
    array[:, 16:48, 16:48] = 40
    assert blood_pool_hu(Study(array, np.diag([-4.0, -4, 4, 1]), "CT", "HU", "axial", ())) is None


def test_content_tells_a_chest_from_a_head():
    chest, head = ct_content(phantom(500)), ct_content(phantom_study(make_phantom("head-ct", 1, matrix=128)))
    assert (chest.body_part, head.body_part) == ("chest", "head")
    assert chest.lung_extent_mm > 150
    assert head.brain_extent_mm > 80
