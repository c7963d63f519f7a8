"""Every encoding of the same pixels gives the same HU; padding, odd bits and damage are dealt with."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study.reader import read_study

from .conftest import write_enhanced

Writer = Callable[..., list[Path]]
HU = np.random.default_rng(3).integers(-1024, 2000, (3, 33, 47)).astype(float)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize(("signed", "bits_stored"), [(False, 12), (True, 16), (False, 16), (True, 13)])
def test_every_lossless_encoding_gives_the_same_hu(
    tmp_path: Path, write_series: Writer, syntax: str, signed: bool, bits_stored: int
) -> None:
    write_series(
        tmp_path,
        HU,
        transfer_syntax=syntax,
        signed=signed,
        bits_stored=bits_stored,
        intercept=0.0 if signed else -1024.0,
    )
    study = read_study(tmp_path)
    assert study.dicom.transfer_syntax_uid == syntax
    np.testing.assert_array_equal(study.array, HU)


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1, HTJ2KLossless, HTJ2K, JPEGExtended12Bit])
def test_encodings_that_pydicom_cannot_write_are_read(tmp_path: Path, write_series: Writer, syntax: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="only imagecodecs writes these encodings")
    smooth = np.add.outer(np.arange(3), np.add.outer(np.arange(32), np.arange(48)) * 10).astype(float) - 500

    def encode(dataset: Dataset, number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2").reshape(32, 48)
        if syntax in (JPEGLossless, JPEGLosslessSV1):
            code = imagecodecs.ljpeg_encode(stored, bitspersample=12)
        elif syntax == JPEGExtended12Bit:
            code = imagecodecs.jpeg8_encode(stored, level=98, bitspersample=12)
        else:
            code = imagecodecs.htj2k_encode(stored, reversible=True)
        dataset.PixelData = encapsulate([code])

    files = write_series(tmp_path, smooth, bits_stored=12)
    for number, file in enumerate(files):
        dataset = dcmread(file)
        encode(dataset, number)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file)
    study = read_study(tmp_path)
    np.testing.assert_allclose(study.array, smooth, atol=8 if syntax == JPEGExtended12Bit else 0)


def test_all_lossless_real_files_give_identical_studies(data_folder: Path) -> None:
    folder = data_folder / "dicom-encodings"
    first = read_study(folder / "CT2_RLE")
    assert np.ptp(first.array) > 1000
    for name in ("CT2_J2KR", "CT2_JLSL", "CT2_JPLL", "CT2_UNC.zst"):
        other = read_study(folder / name)
        np.testing.assert_array_equal(other.array, first.array)
        np.testing.assert_array_equal(other.ijk_to_ras, first.ijk_to_ras)
        # Each file is an instance of its own; nothing else may differ.
        own = {
            "study_instance_uid",
            "series_instance_uid",
            "frame_of_reference_uid",
            "transfer_syntax_uid",
            "image_type",
        }
        assert replace(other.dicom, **{name: getattr(first.dicom, name) for name in own}) == first.dicom
        assert [notice.code for notice in other.notices] == [notice.code for notice in first.notices]
    lossy = read_study(folder / "CT2_J2KI")
    assert 0 < np.abs(lossy.array - first.array).mean() < 20


@pytest.mark.parametrize("compress", [gzip.compress, lambda data: zstandard.ZstdCompressor().compress(data)])
def test_a_compressed_file_reads_like_the_plain_one(
    tmp_path: Path, write_series: Writer, compress: Callable[[bytes], bytes]
) -> None:
    file = write_series(tmp_path, HU[:1])[0]
    plain = read_study(file)
    file.write_bytes(compress(file.read_bytes()))
    np.testing.assert_array_equal(read_study(file).array, plain.array)


@pytest.mark.parametrize(
    ("padding", "limit"), [(64236, None), (-1300, None), (-1300, -1290)], ids=["stated unsigned", "signed", "range"]
)
def test_padding_becomes_air(tmp_path: Path, write_series: Writer, padding: int, limit: int | None) -> None:
    hu = np.full((2, 6, 6), 40.0)
    hu[:, 0] = -1300
    hu[:, 1] = -1300 if limit is None else -1295

    def pad(dataset: Dataset, number: int) -> None:
        for keyword, value in (("PixelPaddingValue", padding), ("PixelPaddingRangeLimit", limit)):
            if value is not None:
                dataset.add_new(keyword, "SS" if value < 0 else "US", value)

    write_series(tmp_path, hu, signed=True, intercept=0.0, each=pad)
    array = read_study(tmp_path).array
    assert (array[:, :2] == -1024).all()
    assert (array[:, 2:] == 40).all()


def test_a_padding_value_that_is_water_is_not_believed(tmp_path: Path, write_series: Writer) -> None:
    hu = np.arange(2 * 36).reshape(2, 6, 6) % 5 + 0.0
    hu[:, 0, 0] = 40
    write_series(tmp_path, hu, signed=True, intercept=0.0, PixelPaddingValue=0)
    np.testing.assert_array_equal(read_study(tmp_path).array, hu)


def test_bits_beyond_those_stored_are_ignored(tmp_path: Path, write_series: Writer) -> None:
    def set_overlay_bits(dataset: Dataset, number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2") | 0xF000
        dataset.PixelData = stored.astype("<u2").tobytes()

    write_series(tmp_path, HU, bits_stored=12, each=set_overlay_bits)
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


def test_values_stored_in_the_high_bits_are_shifted_down(tmp_path: Path, write_series: Writer) -> None:
    def shift(dataset: Dataset, number: int) -> None:
        dataset.HighBit = 15
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") << 4).astype("<u2").tobytes()

    write_series(tmp_path, HU, bits_stored=12, each=shift)
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


def test_a_modality_table_gives_the_hu(tmp_path: Path, write_series: Writer) -> None:
    def add_table(dataset: Dataset, number: int) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4, 0, 16])
        item.ModalityLUTType = "HU"
        item.add_new("LUTData", "US", [0, 100, 300, 1000])
        dataset.ModalityLUTSequence = [item]

    stored = np.array([[[0, 1], [2, 3]]] * 2, float)
    write_series(tmp_path, stored, slope=None, intercept=None, each=add_table)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array[0], [[0, 100], [300, 1000]])
    assert study.notices == ()


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("kept", [0.98, 0.9, 0.5])
def test_a_truncated_file_is_left_out_and_alone_it_is_named(
    tmp_path: Path, write_series: Writer, caplog: pytest.LogCaptureFixture, syntax: str, kept: float
) -> None:
    file = write_series(tmp_path, np.concatenate([HU, HU]), transfer_syntax=syntax)[5]
    data = file.read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00")
    file.write_bytes(data[: start + int((len(data) - start) * kept)])
    study = read_study(tmp_path)
    assert [source.k for source in study.sources] == [0, 1, 2, 3, 4]
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unreadable-file", "warn")]
    assert "1 of 6 images" in study.notices[0].text
    assert "number 6 along the stack" in study.notices[0].text
    # Its name is for the terminal alone.
    assert file.name not in study.notices[0].text
    assert file.name in caplog.text
    with pytest.raises(StudyError, match=rf"{file.name}.*7FE0,0010"):
        read_study(file)


def test_losing_more_than_a_third_of_the_images_is_refused(tmp_path: Path, write_series: Writer) -> None:
    for file in write_series(tmp_path, np.concatenate([HU, HU]))[3:]:
        file.write_bytes(file.read_bytes()[:-100])
    assert [(notice.code, notice.severity) for notice in read_study(tmp_path).notices] == [
        ("unreadable-file", "refuse")
    ]


@pytest.mark.parametrize("encrypted", [False, True])
def test_missing_pixel_data_are_named(tmp_path: Path, write_series: Writer, encrypted: bool) -> None:
    file = write_series(tmp_path, HU)[1]
    dataset = dcmread(file)
    del dataset.PixelData
    if encrypted:
        item = Dataset()
        item.EncryptedContentTransferSyntaxUID = ExplicitVRLittleEndian
        item.EncryptedContent = b"\0\1"
        dataset.EncryptedAttributesSequence = [item]
    dataset.save_as(file)
    with pytest.raises(StudyError, match="encrypted" if encrypted else "7FE0,0010") as error:
        read_study(file)
    assert file.name in str(error.value)
    assert "SECRET" not in str(error.value).upper()
    assert "unreadable-file" in [notice.code for notice in read_study(tmp_path).notices]


@pytest.mark.parametrize("extra", [b"", b"\0", b"\0" * 12])
def test_padding_behind_the_pixels_is_harmless(tmp_path: Path, write_series: Writer, extra: bytes) -> None:
    file = write_series(tmp_path, HU)[1]
    dataset = dcmread(file)
    dataset.PixelData += extra
    dataset.save_as(file)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert study.notices == ()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
def test_images_beyond_the_stated_number_are_told(tmp_path: Path, write_series: Writer, syntax: str) -> None:
    file = write_series(tmp_path, HU)[1]
    dataset = dcmread(file)
    dataset.PixelData *= 3
    dataset.NumberOfFrames = 3
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.NumberOfFrames = 1
    dataset.save_as(file)
    study = read_study(tmp_path)
    assert [(notice.code, notice.severity) for notice in study.notices] == [("frames-not-read", "warn")]
    assert "2 images" in study.notices[0].text


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_frames_that_the_pixel_data_lack_are_left_out_and_the_others_read(tmp_path: Path, syntax: str) -> None:
    hu = np.random.default_rng(3).integers(-1024, 2000, (10, 16, 16)).astype(float)
    file = write_enhanced(tmp_path / "enhanced.dcm", hu, order=range(10))
    dataset = dcmread(file)
    dataset.PixelData = dataset.PixelData[: 8 * 16 * 16 * 2 + 7]
    if syntax != ExplicitVRLittleEndian:
        dataset.PixelData, dataset.NumberOfFrames = dataset.PixelData[:-7], 8
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.NumberOfFrames = 10
    dataset.save_as(file)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, hu[:8])
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unreadable-file", "warn")]
    assert "2 of 10 images" in study.notices[0].text


def test_where_the_quickest_decoder_gives_up_another_one_reads(tmp_path: Path, write_series: Writer) -> None:
    file = write_series(tmp_path, HU[:1], transfer_syntax=JPEGLSLossless)[0]
    dataset = dcmread(file)
    code = get_frame(dataset.PixelData, 0, number_of_frames=1).rstrip(b"\0")
    dataset.PixelData = encapsulate([code[:-2] + b"\0" + code[-2:]])
    dataset.save_as(file)
    np.testing.assert_array_equal(read_study(file).array, HU[:1])


def test_lossy_jpeg_whose_scan_header_names_too_few_coefficients_is_read(tmp_path: Path, write_series: Writer) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="only imagecodecs writes 12-bit JPEG")
    smooth = np.add.outer(np.arange(1), np.add.outer(np.arange(32), np.arange(48)) * 10).astype(float) - 500
    file = write_series(tmp_path, smooth, bits_stored=12)[0]
    dataset = dcmread(file)
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(32, 48)
    code = bytearray(imagecodecs.jpeg8_encode(stored, level=98, bitspersample=12))
    code[code.index(b"\xff\xda") + 8] = 0
    dataset.PixelData = encapsulate([bytes(code)])
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.save_as(file)
    np.testing.assert_allclose(read_study(file).array, smooth, atol=8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", [16, 16]),
        ("BitsStored", [16, 16]),
        ("BitsStored", 17),
        ("BitsStored", None),
        ("BitsAllocated", 12),
        ("SamplesPerPixel", 7),
        ("NumberOfFrames", 2**31 - 1),
        ("NumberOfFrames", "-3"),
    ],
)
def test_a_header_with_numbers_that_no_image_has_does_not_end_the_others(
    tmp_path: Path, write_series: Writer, keyword: str, value: object
) -> None:
    file = write_series(tmp_path, np.concatenate([HU, HU]))[5]
    dataset = dcmread(file)
    dataset.add_new(keyword, "IS" if keyword == "NumberOfFrames" else "US", value)
    dataset.save_as(file)
    study = read_study(tmp_path)
    assert len(study.sources) == 5
    assert [(notice.code, notice.severity) for notice in study.notices] == [("unreadable-file", "warn")]
    with pytest.raises(StudyError, match=file.name):
        read_study(file)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_rows_or_columns_stated_too_small_are_told(tmp_path: Path, write_series: Writer, keyword: str) -> None:
    def shrink(dataset: Dataset, number: int) -> None:
        dataset[keyword].value -= 1

    write_series(tmp_path, HU, each=shrink)
    assert "frames-not-read" in [notice.code for notice in read_study(tmp_path).notices]


def test_pixels_whose_closing_delimiter_lacks_are_read(tmp_path: Path, write_series: Writer) -> None:
    for file in write_series(tmp_path, HU, transfer_syntax=JPEGLSLossless):
        data = file.read_bytes()
        assert data.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
        file.write_bytes(data[:-8])
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.array, HU)
    assert study.notices == ()


def test_a_high_bit_that_the_values_contradict_is_not_believed(tmp_path: Path, write_series: Writer) -> None:
    write_series(tmp_path, HU, bits_stored=12, HighBit=15)
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


@pytest.mark.parametrize("place", [1, 300])
def test_bytes_put_into_the_pixels_are_told(tmp_path: Path, write_series: Writer, place: int) -> None:
    file = write_series(tmp_path, HU)[1]
    data = file.read_bytes()
    file.write_bytes(data[:-place] + b"\1\2\3" + data[-place:])
    assert "frames-not-read" in [notice.code for notice in read_study(tmp_path).notices]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_elements_behind_the_pixels_are_no_surplus(tmp_path: Path, write_series: Writer, syntax: str) -> None:
    for file in write_series(tmp_path, HU, transfer_syntax=syntax):
        dataset = dcmread(file)
        dataset.DataSetTrailingPadding = b"\1\2\3\4"
        dataset.save_as(file)
    assert read_study(tmp_path).notices == ()


@pytest.mark.parametrize("keyword", ["SamplesPerPixel", "BitsAllocated"])
def test_pixels_of_no_samples_or_bits_are_refused_in_a_sentence(
    tmp_path: Path, write_series: Writer, keyword: str
) -> None:
    write_series(tmp_path, HU, **{keyword: 0})
    with pytest.raises(StudyError):
        read_study(tmp_path)
