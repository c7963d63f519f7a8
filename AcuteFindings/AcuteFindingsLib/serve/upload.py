"""An upload from the network onto the disk: piece by piece, under numbers for names, within limits."""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.serve.problem import FULL, Problem
from AcuteFindingsLib.study.packed_study import MEDIA_TYPE as PACKED_STUDY

_FIELDS = ("detector", "model")
_LONGEST_FIELD, _LONGEST_HEADER = 256, 8192
# RFC 2046, 5.1.1.
_LONGEST_BOUNDARY = 70
# The only part of a client's name for a file that is kept: what tells readers of volumes what it is.
_ENDING = re.compile(r"\.(nii\.gz|nii|nrrd|nhdr|mha|mhd|dcm|ima|zip|png|jpe?g|bmp|tiff?|gz|zst)$", re.IGNORECASE)
# What uploads leave free on the disk for results and the list, and how often that is looked at.
_RESERVE_BYTES, _LOOK_BYTES = 256 * 2**20, 16 * 2**20
_SILENT_SECONDS, _RATE_FROM_SECONDS, _LEAST_RATE = 60.0, 60.0, 1024.0


@dataclass
class Upload:
    """What came: the fields of the form, and how many files."""

    fields: dict[str, str] = field(default_factory=dict)
    files: int = 0
    size: int = 0


async def receive_upload(content_type: str, length: int, body: AsyncIterator[bytes], folder: Path) -> Upload:
    """Write the files of a form into a folder as they come.

    Parameters
    ----------
    content_type
        The request's header.
    length
        What the request says of its size; 0 where it says nothing.
    body
        Its pieces.
    folder
        Empty; takes ``0001.dcm`` and so on.

    Raises
    ------
    Problem
        It is not such a form (400, 415), too large (413), too slow (408), or does not fit on the disk (507).
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise Problem(415, "Upload files as a form: multipart/form-data with the field 'files', once for each file.")
    limit = budgets().upload_bytes
    if length > limit:
        raise _too_large(limit)
    _require_room(folder, length)
    form = _Form(boundary, folder)
    started = last = time.monotonic()
    try:
        while True:
            try:
                piece = await asyncio.wait_for(anext(body), _SILENT_SECONDS)
            except StopAsyncIteration:
                break
            except TimeoutError as error:
                raise _too_slow() from error
            last = time.monotonic()
            form.upload.size += len(piece)
            if form.upload.size > limit:
                raise _too_large(limit)
            if form.upload.size // _LOOK_BYTES > (form.upload.size - len(piece)) // _LOOK_BYTES:
                _require_room(folder, 0)
            if last - started > _RATE_FROM_SECONDS and form.upload.size < _LEAST_RATE * (last - started):
                raise _too_slow()
            await asyncio.to_thread(form.write, piece)
        await asyncio.to_thread(form.finish)
    except MultipartParseError as error:
        raise Problem(400, "The upload is not a whole form (multipart/form-data); send it again.") from error
    except OSError as error:
        if error.errno in FULL:
            raise _full() from error
        raise
    finally:
        form.close()
    return form.upload


class _Form:
    """The parser of a form, which writes each file as it comes."""

    def __init__(self, boundary: bytes, folder: Path) -> None:
        self.upload = Upload()
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._text: bytearray | None = None
        self._name, self._header, self._value = "", bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._whole, self._parts = False, 0
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take,
            "on_part_end": self._end,
            "on_end": self._end_form,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._parser.write(piece)

    def finish(self) -> None:
        """Hear that the body has ended."""
        if not self._whole:
            raise Problem(400, "The upload was cut short; send it again.")
        if not self.upload.files:
            raise Problem(422, "No file was uploaded; send files in the field 'files'.")

    def close(self) -> None:
        """Let go of the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers, self._name = {}, ""
        self._parts += 1
        if self._parts > budgets().archive_members:
            raise Problem(413, f"An upload holds at most {budgets().archive_members:,} files; upload a zip.")

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_header()

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header) + len(self._value) > _LONGEST_HEADER or len(self._headers) > 16:
            raise Problem(400, "The headers of a file in the upload are too long.")

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "files" and b"filename" in options:
            self.upload.files += 1
            kind = self._headers.get(b"content-type", b"").split(b";")[0].strip().decode("latin-1")
            name = options[b"filename"].decode("utf-8", "replace")
            self._file = (self._folder / self._own_name(name, kind)).open("xb")
        elif self._name in _FIELDS:
            self._text = bytearray()
        elif self._name == "files":
            raise Problem(422, "The field 'files' holds files, each with a file name; it is not text.")

    def _own_name(self, name: str, kind: str) -> str:
        """Return a number for a name, with the ending that tells readers of volumes what it is."""
        found = _ENDING.search(name)
        ending = found.group().lower() if found else ""
        if kind == PACKED_STUDY:
            ending = ".zip"
        return f"{self.upload.files:05d}{ending}"

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif self._text is not None:
            self._text += data[start:end]
            if len(self._text) > _LONGEST_FIELD:
                raise Problem(422, f"The field '{self._name}' is too long.")

    def _end(self) -> None:
        if self._file is not None:
            self.close()
        elif self._text is not None:
            self.upload.fields[self._name] = self._text.decode("utf-8", "replace").strip()
            self._text = None

    def _end_form(self) -> None:
        self._whole = True


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size + _RESERVE_BYTES:
        raise _full()


def _too_large(limit: int) -> Problem:
    return Problem(413, f"An upload has at most {limit / 2**30:.0f} GiB; upload one study at a time.")


def _too_slow() -> Problem:
    return Problem(408, "The upload came too slowly and was given up; send it again.")


def _full() -> Problem:
    return Problem(507, "There is not enough room on the server's disk for this upload; whoever runs it can make some.")
