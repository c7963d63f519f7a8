from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.training.lesions.angiograms import draw_angiograms

pytestmark = pytest.mark.slow


def test_every_other_version_of_the_angiogram_has_clots_in_its_artery(data_folder: Path) -> None:
    folder, requirements = data_folder / "cta-pulmonary-artery", find_kind("pe").requirements
    study = read_study(folder / "ct_cropped.nii.gz", requirements=requirements)
    artery = read_study(folder / "pulmonary_artery.nii.gz", requirements=requirements).array > 0.5
    drawn = list(draw_angiograms(study, artery, count=4, seed=900_000))
    assert [bool(one.kinds) for one in drawn] == [False, True, False, True]
    assert [bool(one.mask.any()) for one in drawn] == [False, True, False, True]
    for one in drawn[1::2]:
        # A clot is darker than the blood around it.
        blood = one.study.array[artery & ~one.mask]
        assert np.median(one.study.array[one.mask]) < np.median(blood) - 60
    assert len({float(one.study.array.mean()) for one in drawn}) == 4
