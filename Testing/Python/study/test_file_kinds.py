"""Files are known by their first bytes, and their names are shown so that nothing can break a screen or a file."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AcuteFindingsLib.study.file_kinds import START_BYTES, is_leftover, kind_of, kind_of_bytes, shown_name


@pytest.mark.parametrize(
    ("format_", "name", "use"),
    [
        ("WEBP", "a WebP picture", "other"),
        ("GIF", "a GIF picture", "other"),
        ("JPEG2000", "a JPEG 2000 picture", "other"),
        ("AVIF", "an AVIF picture", "other"),
        ("PDF", "a PDF document", "other"),
        ("PNG", "a PNG picture", "picture"),
        ("JPEG", "a JPEG picture", "picture"),
        ("TIFF", "a TIFF picture", "picture"),
        ("BMP", "a BMP picture", "picture"),
    ],
)
def test_pictures_that_another_program_wrote_are_known(format_: str, name: str, use: str) -> None:
    stream = io.BytesIO()
    try:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, format_)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {format_}")
    kind = kind_of_bytes(stream.getvalue()[:START_BYTES])
    assert kind is not None
    assert (kind.name, kind.use) == (name, use)


def test_dicom_is_known_with_and_without_its_mark_and_text_is_not(tmp_path: Path) -> None:
    for start, use in (
        (bytes(128) + b"DICM", "dicom"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "dicom"),
        (b"BM is how this text begins"[2:], None),
        (b"", None),
        (bytes(400), None),
    ):
        (tmp_path / "file").write_bytes(start)
        kind = kind_of(tmp_path / "file")
        assert (kind.use if kind else None) == use


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_of_any_bytes_is_shown_as_printable_text(tmp_path: Path) -> None:
    name = shown_name(Path(os.fsdecode(b"M\xfcller\n%s\x1b[31m.dcm")))
    assert name == "M�ller?%s?[31m.dcm"
    name.encode()


def test_leftovers_of_file_managers_are_known() -> None:
    assert all(is_leftover(Path(name)) for name in ("a/._x.dcm", ".DS_Store", "__MACOSX/x.dcm", "Thumbs.db"))
    assert not is_leftover(Path("a/IM0001"))
