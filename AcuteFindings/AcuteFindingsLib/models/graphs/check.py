"""What a graph of a package may hold: operators of ONNX that compute, and small numbers; weights come from elsewhere.

Narrower than `models.runtime.onnx_check`, which looks at files of other programs: a graph here was written by `export`,
so it has no loops and branches, no functions, no operators of other domains and no data in other files.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.graphs.wire import WireError, fields, inner, numbers, text

FOLDER = "models/graphs"
"""Where graphs are in a package."""

LATEST_OPSET = 23
LATEST_IR = 11
"""What ONNX Runtime 1.23 reads, the last release with wheels for Macs with Intel processors."""

FLOAT, INT64 = 1, 7
"""`TensorProto.DataType` of the tensors that a graph leaves out."""

_MOST_NODES = 200_000
# Buffers that no file of weights holds; the largest shipped one is a few numbers.
_MOST_BYTES = 16 * 2**20
# Of ONNX's own domain: these take graphs of their own, go on for as long as those say, or draw numbers.
_REFUSED = frozenset(
    """If Loop Scan SequenceMap RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial
    Bernoulli""".split()  # noqa: SIM905
)


@dataclass
class Graph:
    """What was found in a graph.

    Attributes
    ----------
    inputs
        Names of what it is given.
    outputs
        Names of what it gives.
    lacking
        Tensors that it names and does not hold: shape and type (`FLOAT`, `INT64`) by name.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    lacking: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)


def check_graph(data: bytes, *, name: str) -> Graph:
    """Read a graph within limits; nothing of it is run.

    Raises
    ------
    ModelError
        Names `name` and says what was found that no graph of a package holds.
    """
    try:
        return _read(memoryview(data))
    except WireError as error:
        raise ModelError(f"{name} was refused: {error}; do not use this model.") from error


def _read(data: memoryview) -> Graph:
    graph: memoryview | None = None
    opset = version = 0
    for number, value in fields(data):
        if number == 1:
            version = _once(version, value)
        elif number == 7:
            if graph is not None:
                raise WireError("it holds two graphs")
            graph = inner(value)
        elif number == 8:
            opset = _once(opset, _opset(inner(value)))
        elif number in (20, 25):
            raise WireError("it brings training steps or functions of its own")
    if graph is None or not 0 < version <= LATEST_IR or not 0 < opset <= LATEST_OPSET:
        raise WireError(f"it is no ONNX graph of an operator set up to {LATEST_OPSET}")
    return _graph(graph)


def _once(before: int, value: object) -> int:
    if before or not isinstance(value, int):
        raise WireError("it says its version twice")
    return value


def _opset(message: memoryview) -> int:
    version = 0
    for number, value in fields(message):
        if number == 1 and text(value) not in ("", "ai.onnx"):
            raise WireError(f"it asks for operators of {ascii(text(value))[:60]}, so it would run code from elsewhere")
        if number == 2:
            version = _once(version, value)
    return version


def _graph(message: memoryview) -> Graph:
    used: dict[str, None] = {}
    known: set[str] = set()
    stated: dict[str, tuple[tuple[int, ...], int]] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    nodes = held = 0
    for number, value in fields(message):
        if number == 1:
            nodes += 1
            if nodes > _MOST_NODES:
                raise WireError(f"it holds more than {_MOST_NODES:,} operators")
            held += _node(inner(value), used, known)
        elif number == 5:
            name, size = _tensor(inner(value))
            _new(name, known)
            held += size
        elif number in (11, 12, 13):
            name, shape, kind = _value(inner(value))
            if number == 13:
                if name in stated:
                    raise WireError(f"it states {ascii(name)[:60]} twice")
                stated[name] = (shape, kind)
            else:
                (inputs if number == 11 else outputs).append(name)
                if number == 11:
                    _new(name, known)
        elif number in (15,):
            raise WireError("it holds sparse tensors")
        if held > _MOST_BYTES:
            raise WireError(f"it holds more than {_MOST_BYTES >> 20} MB of numbers; weights do not belong there")
    lacking = {}
    for name in (*used, *outputs):
        if name in known or not name:
            continue
        shape, kind = stated.get(name, ((), 0))
        if name not in stated or kind not in (FLOAT, INT64) or prod(shape) > budgets().network_values:
            raise WireError(f"it does not say what {ascii(name)[:60]} is")
        lacking[name] = (shape, kind)
    if sum(prod(shape) for shape, _ in lacking.values()) > budgets().network_values:
        raise WireError(f"it asks for more than {budgets().network_values / 1e6:.0f} million numbers")
    return Graph(tuple(inputs), tuple(outputs), lacking)


def _new(name: str, known: set[str]) -> None:
    if not name or name in known:
        raise WireError(f"it makes {ascii(name)[:60]} twice")
    known.add(name)


def _node(message: memoryview, used: dict[str, None], known: set[str]) -> int:
    """Note what an operator takes and makes; returns the bytes of numbers that it holds."""
    operators: list[str] = []
    domains: list[str] = []
    held = 0
    for number, value in fields(message):
        if number == 1:
            used[text(value)] = None
        elif number == 2:
            if text(value):
                _new(text(value), known)
        elif number == 4:
            operators.append(text(value))
        elif number == 5:
            held += _attribute(inner(value))
        elif number == 7:
            domains.append(text(value))
    if len(operators) != 1 or len(domains) > 1:
        raise WireError("an operator has no name, or two")
    if domains and domains[0] not in ("", "ai.onnx"):
        raise WireError(
            f"its operator {ascii(domains[0])[:60]}.{ascii(operators[0])[:60]} is not one of ONNX, so it would run "
            "code from elsewhere"
        )
    if operators[0] in _REFUSED:
        raise WireError(f"it holds the operator {operators[0]}, which no graph of a package needs")
    return held


def _attribute(message: memoryview) -> int:
    held = 0
    for number, value in fields(message):
        if number in (5, 10):
            held += _tensor(inner(value))[1]
        elif number in (6, 11):
            raise WireError("an operator holds a graph of its own")
        elif number in (22, 23):
            raise WireError("it holds sparse tensors")
        elif not isinstance(value, int):
            held += len(value)
    return held


def _tensor(message: memoryview) -> tuple[str, int]:
    """Return the name and bytes of a tensor that the graph holds itself."""
    names: list[str] = []
    dims: list[int] = []
    for number, value in fields(message):
        if number == 1:
            dims += numbers(value)
        elif number == 8:
            names.append(text(value))
        elif number == 13 or (number == 14 and value != 0):
            raise WireError("its numbers are in another file")
    if len(names) > 1 or any(not 0 <= size < 2**31 for size in dims) or prod(dims) > _MOST_BYTES:
        raise WireError("it holds more numbers than a graph of a package needs")
    return (names[0] if names else ""), len(message)


def _value(message: memoryview) -> tuple[str, tuple[int, ...], int]:
    """Return the name, shape and kind of a value; 0 for an axis of any length."""
    names: list[str] = []
    shape: list[int] = []
    kind = 0
    for number, value in fields(message):
        if number == 1:
            names.append(text(value))
        elif number == 2:
            for which, kinds in fields(inner(value)):
                if which == 1:
                    kind, shape = _tensor_type(fields(inner(kinds)))
    if len(names) != 1:
        raise WireError("a value has no name, or two")
    return names[0], tuple(shape), kind


def _tensor_type(parts: Iterable[tuple[int, int | memoryview]]) -> tuple[int, list[int]]:
    kind, shape = 0, []
    for number, value in parts:
        if number == 1:
            kind = _once(kind, value)
        elif number == 2:
            for _, axis in fields(inner(value)):
                sizes = [size for which, size in fields(inner(axis)) if which == 1]
                if len(sizes) > 1 or any(not isinstance(size, int) or size >= 2**31 for size in sizes):
                    raise WireError("a shape is none")
                shape.append(int(sizes[0]) if sizes and isinstance(sizes[0], int) else 0)
    return kind, shape
