"""Pixels are read from where the header ended, and are those that reading the whole file gives."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from AcuteFindingsLib.errors import CancelledError
from AcuteFindingsLib.study import pixel_data
from AcuteFindingsLib.study.dicom_files import PIXEL_TAGS, read_header
from AcuteFindingsLib.study.reader import read_study

from .conftest import write_enhanced

Writer = Callable[..., list[Path]]
HU = np.random.default_rng(11).integers(-1000, 1000, (6, 33, 47)).astype(float)
PLAIN = [
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless,
]  # fmt: skip


def described(dataset: Dataset) -> dict[str, object]:
    """Return pixels and what describes them."""
    return {keyword: dataset[keyword].value for keyword in PIXEL_TAGS if keyword in dataset}


@pytest.mark.parametrize("syntax", PLAIN)
def test_pixels_behind_the_header_are_those_of_the_whole_file(
    tmp_path: Path, write_series: Writer, syntax: str
) -> None:
    file = write_series(tmp_path, HU[:1], transfer_syntax=syntax, DataSetTrailingPadding=b"\0" * 8)[0]
    behind, whole = pixel_data.read_encoded(file, read_header(file)), pixel_data.read_encoded(file)
    assert described(behind) == described(whole)
    assert behind["PixelData"].VR == whole["PixelData"].VR
    assert behind["PixelData"].file_tell == whole["PixelData"].file_tell
    assert behind.original_encoding == whole.original_encoding


@pytest.mark.parametrize("syntax", PLAIN)
def test_a_plain_file_is_not_read_from_its_beginning_again(
    tmp_path: Path, write_series: Writer, syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, HU, transfer_syntax=syntax)
    monkeypatch.setattr(pixel_data, "read_pixel_dataset", lambda file, **_: pytest.fail(f"{file} is read again"))
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


def test_what_is_packed_or_has_several_frames_is_read_whole(tmp_path: Path, write_series: Writer) -> None:
    deflated = write_series(tmp_path / "deflated", HU, transfer_syntax=DeflatedExplicitVRLittleEndian)[0]
    plain = write_series(tmp_path / "plain", HU[:1])[0]
    packed = tmp_path / "one.dcm.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    write_enhanced(tmp_path / "frames.dcm", HU, order=range(len(HU)))
    for file in (deflated, packed, tmp_path / "frames.dcm"):
        assert pixel_data._read_behind(file, read_header(file)) is None
    np.testing.assert_array_equal(read_study(tmp_path / "frames.dcm").array, HU)
    np.testing.assert_array_equal(read_study(packed).array, HU[:1])


def test_a_file_that_changed_since_its_header_was_read_is_read_whole(tmp_path: Path, write_series: Writer) -> None:
    file = write_series(tmp_path, HU[:1])[0]
    header = read_header(file)
    write_series(tmp_path, HU[1:2], SeriesDescription="longer than before")
    assert pixel_data._read_behind(file, header) is None
    stored = np.frombuffer(pixel_data.read_encoded(file, header).PixelData, "<u2").reshape(HU[0].shape)
    np.testing.assert_array_equal(stored.astype(float) - 1024, HU[1])


def test_making_pixels_complete_does_not_change_the_header(tmp_path: Path, write_series: Writer) -> None:
    file = write_series(tmp_path, HU[:1])[0]
    header = read_header(file)
    dataset = pixel_data.read_encoded(file, header)
    pixel_data.complete(dataset)
    dataset.Rows, dataset.PhotometricInterpretation = 1, "RGB"
    assert header.Rows == HU.shape[1]
    assert header.PhotometricInterpretation == "MONOCHROME2"


def test_reading_stops_where_the_progress_is_cancelled(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, np.zeros((60, 8, 8)))
    read: list[Path] = []
    monkeypatch.setattr(
        pixel_data,
        "_read_behind",
        lambda file, header, own=pixel_data._read_behind: read.append(file) or own(file, header),
    )

    def progress(text: str, _share: float) -> None:
        if text.startswith("Decoding images"):
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        read_study(tmp_path, progress=progress)
    assert 0 < len(read) < 60
