"""Radiographs show bone bright in 0..1, lie as radiologists look at them, and know their pixel size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

Writer = Callable[..., Path]
STORED = np.random.default_rng(1).integers(300, 3800, (12, 16))


def test_a_radiograph_is_one_plane_in_slicers_axial_convention(tmp_path: Path, write_radiograph: Writer) -> None:
    study = read_study(
        write_radiograph(tmp_path / "x.dcm", STORED, PixelSpacing=[0.2, 0.1], PatientOrientation=["L", "F"])
    )
    assert study.array.shape == (1, 12, 16)
    assert study.array.dtype == np.float32
    assert (study.intensity, study.orientation, study.modality) == ("unit", "projection", "CR")
    np.testing.assert_allclose(study.ijk_to_ras, np.diag([-0.1, -0.2, 1, 1]))
    assert study.dicom.view_position == "PA"
    assert study.dicom.patient_orientation == ("L", "F")
    assert study.regridded == ""
    assert len(study.sources) == 1


def test_the_window_sets_black_and_white_by_the_standards_formula(tmp_path: Path, write_radiograph: Writer) -> None:
    file = write_radiograph(tmp_path / "x.dcm", STORED, WindowCenter=2048, WindowWidth=2000)
    expected = np.clip((STORED - 2047.5) / 1999 + 0.5, 0, 1)
    np.testing.assert_allclose(read_study(file).array[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR_EXACT", np.clip((STORED - 2048) / 2000 + 0.5, 0, 1)),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (STORED - 2048) / 2000))),
    ],
)
def test_other_window_functions_are_followed(
    tmp_path: Path, write_radiograph: Writer, function: str, expected: np.ndarray
) -> None:
    file = write_radiograph(tmp_path / "x.dcm", STORED, WindowCenter=2048, WindowWidth=2000, VOILUTFunction=function)
    np.testing.assert_allclose(read_study(file).array[0], expected, atol=1e-5)


def test_a_table_goes_before_the_window(tmp_path: Path, write_radiograph: Writer) -> None:
    table = (np.linspace(0, 1, 4096) ** 2 * 1023).astype(int)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 10])
    item.add_new("LUTData", "US", table.tolist())
    file = write_radiograph(tmp_path / "x.dcm", STORED, VOILUTSequence=[item], WindowCenter=1, WindowWidth=1)
    np.testing.assert_allclose(read_study(file).array[0], table[STORED] / 1023, atol=1e-6)


def test_without_a_window_8_bits_stay_and_deeper_ones_are_stretched(tmp_path: Path, write_radiograph: Writer) -> None:
    shallow = read_study(write_radiograph(tmp_path / "8.dcm", STORED // 16, bits_stored=8))
    np.testing.assert_allclose(shallow.array[0], STORED // 16 / 255, atol=1e-6)
    deep = read_study(write_radiograph(tmp_path / "12.dcm", STORED)).array[0]
    low, high = np.percentile(STORED, [0.5, 99.5])
    np.testing.assert_allclose(deep, np.clip((STORED - low) / (high - low), 0, 1), atol=1e-6)


def test_a_window_that_shows_nothing_is_not_used(tmp_path: Path, write_radiograph: Writer) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, WindowCenter=60000, WindowWidth=100))
    assert study.array.std() > 0.2
    assert "window-unusable" in [notice.code for notice in study.notices]


@pytest.mark.parametrize(
    "attributes", [{"WindowCenter": 2000, "WindowWidth": 3000}, {}, {"RescaleSlope": 2, "RescaleIntercept": -5}]
)
def test_an_inverted_monochrome1_twin_is_the_same_study(
    tmp_path: Path, write_radiograph: Writer, attributes: dict[str, float]
) -> None:
    twin = dict(attributes)
    if "WindowCenter" in twin:
        # The window of inverted values: level - 0.5 must lie where it did.
        twin["WindowCenter"] = 4095 - 2000 + 1
    original = read_study(write_radiograph(tmp_path / "2.dcm", STORED, **attributes))
    inverted = write_radiograph(tmp_path / "1.dcm", 4095 - STORED, PhotometricInterpretation="MONOCHROME1", **twin)
    np.testing.assert_allclose(read_study(inverted).array, original.array, atol=1e-6)


def test_the_real_monochrome1_twin_is_the_same_study(data_folder: Path) -> None:
    folder = data_folder / "chest-xray-dicom"
    twin = read_study(folder / "monochrome1_twin.dcm")
    originals = [file for file in folder.glob("*6904*.dcm")]
    original = read_study(originals[0])
    assert original.array.std() > 0.1
    np.testing.assert_allclose(twin.array, original.array, atol=1e-6)


def test_padding_is_black_and_does_not_stretch_the_rest(tmp_path: Path, write_radiograph: Writer) -> None:
    framed = STORED.copy()
    framed[0] = 4095
    study = read_study(
        write_radiograph(tmp_path / "x.dcm", framed, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=4095)
    )
    assert (study.array[0, 0] == 0).all()
    low, high = np.percentile(STORED[1:], [0.5, 99.5])
    np.testing.assert_allclose(study.array[0, 1:], 1 - np.clip((STORED[1:] - low) / (high - low), 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.3, 0.3]}, 0.2),
        ({"ImagerPixelSpacing": [0.3, 0.3]}, 0.3),
        ({"ImagerPixelSpacing": [0.3, 0.3], "EstimatedRadiographicMagnificationFactor": 1.2}, 0.25),
        ({"NominalScannedPixelSpacing": [0.4, 0.4]}, 0.4),
        ({"PixelSpacing": [0.0, 0.0]}, None),
        ({}, None),
    ],
)
def test_the_pixel_size_is_that_in_the_patient(
    tmp_path: Path, write_radiograph: Writer, attributes: dict[str, object], spacing: float | None
) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, **attributes))
    assert study.pixel_spacing_known == (spacing is not None)
    assert study.spacing[1:] == pytest.approx((spacing or 1.0, spacing or 1.0))


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (["R", "F"], STORED[:, ::-1]),
        (["L", "H"], STORED[::-1]),
        (["R", "H"], STORED[::-1, ::-1]),
        (["F", "L"], STORED.T),
        (["F", "R"], STORED[:, ::-1].T),
        (["H", "L"], STORED[::-1].T),
    ],
)
def test_a_turned_radiograph_is_set_upright(
    tmp_path: Path, write_radiograph: Writer, orientation: list[str], stored: np.ndarray
) -> None:
    plain = read_study(write_radiograph(tmp_path / "a.dcm", STORED, PixelSpacing=[0.2, 0.1]))
    spacing = [0.1, 0.2] if orientation[0] in "FH" else [0.2, 0.1]
    turned = write_radiograph(tmp_path / "b.dcm", stored, PatientOrientation=orientation, PixelSpacing=spacing)
    study = read_study(turned)
    np.testing.assert_allclose(study.array, plain.array, atol=1e-6)
    np.testing.assert_allclose(study.ijk_to_ras, plain.ijk_to_ras)
    assert "radiograph-turned" in [notice.code for notice in study.notices]
    assert study.regridded


def test_a_lateral_view_is_left_as_it_is(tmp_path: Path, write_radiograph: Writer) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, PatientOrientation=["A", "F"], ViewPosition="LL"))
    assert study.notices[-1].code == "no-pixel-spacing"
    assert study.dicom.view_position == "LL"


def test_a_view_code_names_the_view(tmp_path: Path, write_radiograph: Writer) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399348003", "SCT", "antero-posterior"
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, ViewPosition="", ViewCodeSequence=[code]))
    assert study.dicom.view_position == "AP"


@pytest.mark.parametrize("colored", [False, True])
def test_gray_in_color_is_read_and_real_color_refused(tmp_path: Path, write_radiograph: Writer, colored: bool) -> None:
    gray = (STORED // 16).astype(np.uint8)
    file = write_radiograph(tmp_path / "x.dcm", gray, bits_stored=8)
    dataset = dcmread(file)
    color = np.stack([gray, gray, gray // 3 if colored else gray], axis=-1)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.PixelData = color.tobytes()
    dataset.save_as(file)
    if colored:
        with pytest.raises(StudyError, match=r"x\.dcm is a color picture"):
            read_study(file)
    else:
        np.testing.assert_allclose(read_study(file).array[0], gray / 255, atol=1e-6)


def _table(entries: np.ndarray, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), 0, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return item


def test_a_table_that_uses_fewer_bits_than_it_states_reaches_white(tmp_path: Path, write_radiograph: Writer) -> None:
    file = write_radiograph(tmp_path / "x.dcm", STORED, VOILUTSequence=[_table(np.arange(4096), 16)])
    np.testing.assert_allclose(read_study(file).array[0], STORED / 4095, atol=1e-6)


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_an_unusable_table_is_left_out_and_told(tmp_path: Path, write_radiograph: Writer, keyword: str) -> None:
    file = write_radiograph(
        tmp_path / "x.dcm", STORED, WindowCenter=2048, WindowWidth=4096, **{keyword: [_table(np.zeros(9, int), 16)]}
    )
    study = read_study(file)
    np.testing.assert_allclose(study.array[0], np.clip((STORED - 2047.5) / 4095 + 0.5, 0, 1), atol=1e-6)
    assert ("unusable-table", "warn") in [(notice.code, notice.severity) for notice in study.notices]


@pytest.mark.parametrize(("level", "width"), [(2048, 0), (2048, -300), (2048, 1e9), (32768, 65536)])
def test_windows_without_use_are_not_used(tmp_path: Path, write_radiograph: Writer, level: float, width: float) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, WindowCenter=level, WindowWidth=width))
    assert np.ptp(study.array) == pytest.approx(1)


@pytest.mark.parametrize(
    ("attributes", "inverted"),
    [
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "INVERSE", "PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1}, True),
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": -1}, False),
        ({"PresentationIntentType": "FOR PRESENTATION", "PixelIntensityRelationshipSign": 1}, False),
    ],
)
def test_what_the_header_shows_inverted_is_inverted_once(
    tmp_path: Path, write_radiograph: Writer, attributes: dict[str, object], inverted: bool
) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, WindowCenter=2048, WindowWidth=4096, **attributes))
    expected = np.clip((STORED - 2047.5) / 4095 + 0.5, 0, 1)
    np.testing.assert_allclose(study.array[0], 1 - expected if inverted else expected, atol=1e-6)
    raw = attributes.get("PresentationIntentType") == "FOR PROCESSING"
    assert (("for-processing", "warn") in [(notice.code, notice.severity) for notice in study.notices]) == raw


def test_a_pixel_aspect_ratio_sets_rows_apart_and_is_told(tmp_path: Path, write_radiograph: Writer) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, PixelAspectRatio=["2", "1"]))
    assert study.spacing[1:] == pytest.approx((2, 1))
    assert not study.pixel_spacing_known
    assert ("pixels-not-square", "warn") in [(notice.code, notice.severity) for notice in study.notices]


@pytest.mark.parametrize("ratio", [["1", "1"], ["0", "1"], ["-1", "1"], ["1"], ["1000", "1"]])
def test_an_aspect_ratio_that_no_picture_has_is_not_believed(
    tmp_path: Path, write_radiograph: Writer, ratio: list[str]
) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, PixelAspectRatio=ratio))
    assert study.spacing[1:] == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("attributes", "severity"),
    [
        ({"PatientOrientation": ["L", "F"]}, None),
        ({"PatientOrientation": ["R", "F"]}, None),
        ({"PatientOrientation": ["F", "L"]}, None),
        ({}, "info"),
        ({"PatientOrientation": ""}, "info"),
        ({"PatientOrientation": ["L", "R"]}, "warn"),
        ({"PatientOrientation": ["A", "F"]}, "warn"),
        ({"PatientOrientation": "L"}, "warn"),
        ({"PatientOrientation": ["A", "F"], "ViewPosition": "LL"}, None),
    ],
)
def test_a_side_that_nothing_states_is_told(
    tmp_path: Path, write_radiograph: Writer, attributes: dict[str, object], severity: str | None
) -> None:
    study = read_study(write_radiograph(tmp_path / "x.dcm", STORED, **attributes))
    told = [notice.severity for notice in study.notices if notice.code == "side-assumed"]
    assert told == ([severity] if severity else [])


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [["L", "F"], ["F", "L"], ["L", "H"], None])
def test_a_chest_that_does_not_stand_as_its_header_says_is_warned_of(
    tmp_path: Path, write_radiograph: Writer, data_folder: Path, orientation: list[str] | None
) -> None:
    chest = read_study(next((data_folder / "chest-xray-dicom").glob("*6904*.dcm"))).array[0] * 4095
    attributes = {} if orientation is None else {"PatientOrientation": orientation}
    stored = {"L/F": chest, "F/L": chest.T, "L/H": chest[::-1], "": chest}["/".join(orientation or [])]
    right = write_radiograph(tmp_path / "right.dcm", stored, **attributes)
    turned = write_radiograph(tmp_path / "turned.dcm", stored.T, **attributes)

    def told(file: Path) -> list[str]:
        return [one.text for one in read_study(file).notices if one.code in ("on-its-side", "upside-down")]

    assert told(right) == []
    assert len(told(turned)) == 1
    assert ("/".join(orientation) in told(turned)[0]) if orientation else True
