"""The pickle in a PyTorch file of weights, read as data: its instructions are followed here, and nothing is called.

`pickletools` of the standard library takes the instructions apart. Those that build containers and tensors are
followed; at any other instruction or name the pickle is refused (`RefusedError`).
"""

import math
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

# As `torch/storage.py` names them; bfloat16 is the upper half of a float32.
BFLOAT16 = "bfloat16"
_STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
    "torch.BoolStorage": "|b1",
}
_DTYPES = frozenset(
    f"torch.{name}"
    for name in (
        *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"),
        *("complex64", "complex128"),
    )
)
# numpy has arrays of up to this many axes, PyTorch too.
_MOST_AXES = 32


class RefusedError(Exception):
    """The pickle wants more than tensors and containers; says what."""


@dataclass(frozen=True, eq=False)
class _Name:
    """What a pickle names by module and name; it stays a name."""

    text: str


@dataclass(frozen=True, eq=False)
class Storage:
    """A file of numbers in the archive.

    Attributes
    ----------
    kind
        Little-endian numpy type, or `BFLOAT16`.
    key
        Name of the file.
    count
        How many numbers it has.
    """

    kind: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as the pickle has it, a view of a storage; `offset` and `strides` count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def read_pickle(stream: BinaryIO) -> object:
    """Return what a pickle of `torch.save` holds: containers, plain values and `StoredTensor`.

    Raises
    ------
    RefusedError
        It holds anything else.
    ValueError, IndexError, KeyError, TypeError
        It is damaged.
    """
    machine = _Machine()
    for instruction, argument, _ in pickletools.genops(stream):
        if instruction.name == "STOP":
            break
        machine.follow(instruction.name, argument)
    return machine.stack.pop()


class _Machine:
    """The stack, the marks on it and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(_VALUES[name](argument))
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise RefusedError(f"the pickle instruction {name}")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the pickle takes more from its stack than there is")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def name(self, text: str) -> None:
        if text not in _MADE and text not in _STORAGES and text not in _DTYPES:
            raise RefusedError(f"{ascii(text)[1:-1][:80]}")
        self.stack.append(_Name(text))

    def call(self) -> None:
        called, arguments = self.last(2)
        if not isinstance(called, _Name) or called.text not in _MADE or not isinstance(arguments, tuple):
            raise RefusedError("a call of something that makes no tensor")
        self.stack.append(_MADE[called.text](*arguments))

    def build(self) -> None:
        # What PyTorch writes on a state dict (`_metadata`) says nothing that is needed.
        target, _ = self.last(2)
        if not isinstance(target, dict):
            raise RefusedError("the state of an object")
        self.stack.append(target)

    def put(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("entries are put into something that is not a mapping")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a deep tuple could exhaust the stack of the process.
            if not isinstance(key, str | int | float | None):
                raise RefusedError("a mapping whose keys are not plain")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items are appended to something that is not a list")
        target.extend(items)

    def stored(self) -> None:
        (given,) = self.last(1)
        if not isinstance(given, tuple) or len(given) != 5 or given[0] != "storage":
            raise RefusedError("something that is stored otherwise than a tensor")
        _, kind, key, _, count = given
        if not isinstance(kind, _Name) or kind.text not in _STORAGES:
            raise RefusedError("a tensor of numbers that are not plain")
        if not isinstance(key, str) or not _whole([count]):
            raise TypeError("a storage has no file or no length")
        self.stack.append(Storage(_STORAGES[kind.text], key, count))


def _whole(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 2**62 for value in values)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> StoredTensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise TypeError("a tensor has no storage, shape or strides")
    if len(shape) != len(strides) or len(shape) > _MOST_AXES or not _whole((offset, *shape, *strides)):
        raise TypeError("a tensor's shape and strides are not numbers, or not as many")
    return StoredTensor(storage, offset, shape, strides)


def _parameter(data: Any, *_rest: Any) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise TypeError("a parameter holds no tensor")
    return data


def _mapping(entries: Any = None) -> dict[Any, Any]:
    # The mapping itself: a copy of each could fill the memory from a small pickle.
    if entries is not None and not isinstance(entries, dict):
        raise RefusedError("a mapping made of something else")
    return {} if entries is None else entries


def _size(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, tuple):
        raise TypeError("a size is not a tuple")
    return items


# What may be called, and what stands here for it.
_MADE: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": _size,
    "torch.device": lambda *_: None,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}

_VALUES: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
} | dict.fromkeys(
    (
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    ),
    lambda argument: argument,
)

_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda _machine, _: None,
    "FRAME": lambda _machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "BINPUT": lambda machine, at: machine.memo.update({at: machine.stack[-1]}),
    "LONG_BINPUT": lambda machine, at: machine.memo.update({at: machine.stack[-1]}),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    "BINGET": lambda machine, at: machine.stack.append(machine.memo[at]),
    "LONG_BINGET": lambda machine, at: machine.stack.append(machine.memo[at]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.last(3))),
    "SETITEM": lambda machine, _: machine.put(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.put(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "GLOBAL": lambda machine, text: machine.name(text.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(".".join(map(str, machine.last(2)))),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.stored(),
}
