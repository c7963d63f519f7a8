"""ONNX files as protocol buffers: read field by field within limits, and written where a few fields suffice.

The package onnx would do both, but is as large as what runs the graphs. Only what `export` writes is read: a file that
says one thing twice, where readers may differ in what counts, is refused.
"""

from collections.abc import Iterator

_MOST_FIELDS = 2_000_000
# Protocol Buffers, "Assigning Field Numbers": 1 to 536,870,911.
_HIGHEST_FIELD = 2**29 - 1


class WireError(ValueError):
    """These bytes are no protocol buffer, or one that readers may take differently."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: number, and an integer or the bytes of a text, list or inner message.

    Raises
    ------
    WireError
        The message is cut off, or holds what no ONNX file does.
    """
    place, count = 0, 0
    while place < len(message):
        count += 1
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        # Beyond these numbers readers differ: one that keeps 32 bits of the key would see another field here.
        if not 0 < number <= _HIGHEST_FIELD or count > _MOST_FIELDS:
            raise WireError("it is not a protocol buffer of ONNX")
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise WireError("it is not a protocol buffer of ONNX")
        if place + length > len(message):
            raise WireError("it is cut off")
        yield number, message[place : place + length]
        place += length


def text(value: int | memoryview) -> str:
    """Return a field's text; raises `WireError` where it is none."""
    if isinstance(value, int):
        raise WireError("a number stands where a name is expected")
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name is not text") from error


def inner(value: int | memoryview) -> memoryview:
    """Return a field's inner message; raises `WireError` where it is none."""
    if isinstance(value, int):
        raise WireError("a number stands where a message is expected")
    return value


def numbers(value: int | memoryview) -> list[int]:
    """Return the integers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(number)
    return found


def varint(number: int) -> bytes:
    """Return a number that is not negative as protocol buffers write it."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number: int, value: int | bytes) -> bytes:
    """Return one field of a message: an integer, or a text or inner message as bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return head(number, len(value)) + value


def head(number: int, length: int) -> bytes:
    """Return what stands before `length` bytes of a field."""
    return varint(number << 3 | 2) + varint(length)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise WireError("it is cut off")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
