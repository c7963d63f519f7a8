"""JPEG-LS decoded outside Python's lock: the pixels of pyjpegls, its errors, and threads that go on meanwhile."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import JPEGLSLossless

from AcuteFindingsLib.errors import StudyError
from AcuteFindingsLib.study import dicom_decoding, jpegls
from AcuteFindingsLib.study.reader import read_study

Writer = Callable[..., list[Path]]
HU = np.random.default_rng(7).integers(-1000, 1000, (4, 40, 56)).astype(float)


@pytest.fixture(name="switch_interval")
def switch_interval_fixture() -> Iterator[Callable[[float], None]]:
    """Set how long a thread may keep the lock; set back afterwards."""
    before = sys.getswitchinterval()
    yield sys.setswitchinterval
    sys.setswitchinterval(before)


def encoded(folder: Path, write_series: Writer, hu: np.ndarray, **attributes: object) -> Dataset:
    """Return the data set of one JPEG-LS image."""
    return dcmread(write_series(folder, hu, transfer_syntax=JPEGLSLossless, **attributes)[0])


def decoded(dataset: Dataset, plugin: str) -> np.ndarray:
    """Return the stored values by one plug-in."""
    return next(iter_pixels(dataset, decoding_plugin=plugin))


def test_it_is_the_first_choice_and_pyjpegls_the_second() -> None:
    assert dicom_decoding._plugins(JPEGLSLossless)[:2] == [jpegls.PLUGIN, "pyjpegls"]


@pytest.mark.parametrize(("signed", "bits"), [(False, 8), (False, 12), (True, 12), (True, 16), (False, 16)])
def test_the_pixels_are_those_of_pyjpegls(tmp_path: Path, write_series: Writer, signed: bool, bits: int) -> None:
    hu = np.clip(HU[:1], 0, 255) if bits == 8 else HU[:1]
    dataset = encoded(tmp_path, write_series, hu, signed=signed, bits_stored=bits, intercept=0.0 if signed else -1024.0)
    own, other = decoded(dataset, jpegls.PLUGIN), decoded(dataset, "pyjpegls")
    assert own.dtype == other.dtype
    np.testing.assert_array_equal(own, other)


def test_a_damaged_stream_is_an_error(tmp_path: Path, write_series: Writer) -> None:
    dataset = encoded(tmp_path, write_series, HU[:1])
    code = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([code[:200] + code[-2:]])
    with pytest.raises(RuntimeError, match="Decoding error"):
        decoded(dataset, jpegls.PLUGIN)


def test_threads_go_on_while_an_image_is_decoded(
    tmp_path: Path, write_series: Writer, switch_interval: Callable[[float], None]
) -> None:
    dataset = encoded(tmp_path, write_series, np.random.default_rng(1).integers(0, 4000, (1, 900, 900)).astype(float))
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    decode = jpegls._charls()
    assert decode is not None
    pixels = bytearray(900 * 900 * 2)
    times: list[float] = []

    def work() -> None:
        target = (jpegls.ctypes.c_char * len(pixels)).from_buffer(pixels)
        message = jpegls.ctypes.create_string_buffer(256)
        times.append(time.perf_counter())
        assert decode(target, len(pixels), stream, len(stream), None, message) == 0
        times.append(time.perf_counter())

    # No thread is made to let the lock go: that another one runs shows that it was let go.
    switch_interval(1000.0)
    thread = threading.Thread(target=work)
    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(time.perf_counter())
        time.sleep(0.0005)
    assert any(times[0] < moment < times[1] for moment in seen)


def test_where_the_function_is_hidden_pyjpegls_decodes(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpegls, "_charls", lambda: None)
    monkeypatch.delitem(get_decoder(JPEGLSLossless)._available, jpegls.PLUGIN)
    jpegls.register()
    assert dicom_decoding._plugins(JPEGLSLossless)[0] == "pyjpegls"
    write_series(tmp_path, HU, transfer_syntax=JPEGLSLossless)
    np.testing.assert_array_equal(read_study(tmp_path).array, HU)


def test_slices_come_in_their_order_and_a_bad_one_is_told_as_ever(tmp_path: Path, write_series: Writer) -> None:
    hu = np.random.default_rng(2).integers(-1000, 1000, (24, 40, 56)).astype(float)
    files = write_series(tmp_path, hu, transfer_syntax=JPEGLSLossless)
    np.testing.assert_array_equal(read_study(tmp_path).array, hu)
    dataset = dcmread(files[5])
    code = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([code[:300]])
    dataset.save_as(files[5])
    study = read_study(tmp_path)
    np.testing.assert_array_equal(np.delete(study.array, 5, axis=0), np.delete(hu, 5, axis=0))
    assert "1 of 24 images" in next(notice.text for notice in study.notices if notice.code == "unreadable-file")
    with pytest.raises(StudyError, match=r"0005\.dcm: the pixel data \(7FE0,0010\) cannot be decoded \(JPEG-LS"):
        read_study(files[5])
