"""Damage to bytes, to text and to JSON: what copying, disks, editors and strangers do to any file."""

import json
from typing import Any

import numpy as np

_ODD_TEXT = (
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "1e-9",
    "nan",
    "inf",
    "abc",
    "\\",
    "../../x",
    "=1+1",
    "é",
    "%s%n",
    "\u202e",
    "9" * 400,
)
_ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, float("nan"), float("inf"), 2**70, "", "abc", "../../x", "\u0000", [], {}, [[]],
    [None] * 3, "x" * 5000,
)  # fmt: skip


def damage(data: bytes, rng: np.random.Generator, *, after: int = 0) -> bytes:
    """Return the bytes cut, flipped, overwritten, repeated or with something put in; the first `after` stay."""
    if len(data) <= after + 1:
        return data + b"\0"
    how = rng.integers(7)
    at = after + int(rng.integers(len(data) - after) * (rng.random() if rng.random() < 0.5 else 1))
    length = int(min(2 ** rng.integers(0, 12), len(data) - at))
    if how == 0:
        return data[:at]
    if how == 1:
        changed = bytearray(data)
        for _ in range(int(2 ** rng.integers(0, 6))):
            place = after + int(rng.integers(len(data) - after))
            changed[place] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    if how == 2:
        return data[:at] + rng.bytes(length) + data[at + length :]
    if how == 3:
        return data[:at] + data[at + length :]
    if how == 4:
        return data[:at] + data[at : at + length] + data[at:]
    if how == 5:
        return data[:at] + bytes([int(rng.choice([0, 255, 127, 128]))]) * length + data[at + length :]
    changed = bytearray(data)
    number = int(rng.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
    width = int(rng.choice([1, 2, 4]))
    order = "little" if rng.random() < 0.5 else "big"
    changed[at : at + width] = (number & (256**width - 1)).to_bytes(width, order)
    return bytes(changed)


def damage_text(text: str, rng: np.random.Generator) -> str:
    """Return text with a line lost, repeated, moved, cut, or a word of it replaced."""
    lines = text.splitlines(keepends=True) or [""]
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(lines)))
        how = rng.integers(6)
        if how == 0 and len(lines) > 1:
            lines.pop(at)
        elif how == 1:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[at])
        elif how == 2:
            other = int(rng.integers(len(lines)))
            lines[at], lines[other] = lines[other], lines[at]
        elif how == 3:
            lines[at] = lines[at][: int(rng.integers(len(lines[at]) + 1))] + "\n"
        else:
            words = lines[at].split(" ")
            words[int(rng.integers(len(words)))] = odd_text(rng)
            lines[at] = " ".join(words) + ("" if words[-1].endswith("\n") else "\n")
    return "".join(lines)


def odd_text(rng: np.random.Generator) -> str:
    """Return a text that no field expects."""
    return _ODD_TEXT[int(rng.integers(len(_ODD_TEXT)))]


def odd_value(rng: np.random.Generator) -> Any:
    """Return a JSON value that no field expects."""
    return _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]


def damage_json(value: Any, rng: np.random.Generator) -> Any:
    """Return a copy with one to three values replaced, lost, renamed or put elsewhere."""
    value = json.loads(json.dumps(value))
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(value))
        if not places:
            return odd_value(rng)
        holder, key = places[int(rng.integers(len(places)))]
        how = rng.integers(5)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[odd_text(rng)] = holder.pop(key)
        elif how == 2:
            other, its = places[int(rng.integers(len(places)))]
            holder[key] = json.loads(json.dumps(other[its]))
        elif how == 3 and isinstance(holder[key], (int, float)):
            holder[key] = holder[key] * float(rng.choice([-1, 0, 2, 1e6, 0.5])) + float(rng.choice([0, 1, -1]))
        else:
            holder[key] = odd_value(rng)
    return value


def damage_json_bytes(value: Any, rng: np.random.Generator) -> bytes:
    """Return the damaged value as a file; one in five with damaged bytes too, a few nested deeply."""
    if rng.random() < 0.03:
        return b"[" * 100_000
    data = json.dumps(damage_json(value, rng)).encode()
    return damage(data, rng) if rng.random() < 0.2 else data


def _places(value: Any):
    if isinstance(value, dict):
        for key in list(value):
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for key in range(min(len(value), 20)):
            yield value, key
            yield from _places(value[key])
