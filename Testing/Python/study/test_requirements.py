"""Scripts that name a detector get what that detector asks of a study."""

from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind, kinds
from AcuteFindingsLib.errors import DetectionError
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.choose import fitting_detectors
from AcuteFindingsLib.study.reader import read_study


def test_a_script_that_names_a_detector_gets_the_same_answers_and_a_warning(tmp_path: Path) -> None:
    folder = write_phantom(make_phantom("chest-xray", 3, positive=True, size=256), tmp_path) / "dicom"
    limits = find_kind("pneumothorax").requirements
    with pytest.warns(DeprecationWarning, match="Naming a detector"):
        study = read_study(folder, detector="pneumothorax")
    assert (study.array == read_study(folder, requirements=limits).array).all()
    with pytest.warns(DeprecationWarning, match="Naming a detector"):
        assert check_study(study, "pneumothorax") == check_study(study, limits)
    assert fitting_detectors(study) == ["pneumothorax"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_unknown_detector_is_named_with_those_that_there_are() -> None:
    study = phantom_study(make_phantom("chest-xray", 3, positive=True, size=256))
    with pytest.raises(DetectionError, match=f"choose one of {kinds()[0].id}"):
        check_study(study, "knee")
