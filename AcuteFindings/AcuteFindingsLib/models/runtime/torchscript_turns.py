"""How much the code of a TorchScript file may compute, as far as that is written in it."""

import ast
from collections.abc import Iterator, Mapping

_SMALL = 10_000
"""So many turns of loops within each other, or calls that one call leads to, are a matter of seconds at most."""


def may_not_end(files: Mapping[str, ast.Module]) -> bool:
    """Whether code holds a loop without a small number of turns, too many calls, or prints.

    Such code is not bad: PyTorch's own layers go through lists in loops. It is run in a process of its own, which can
    be ended, and whose texts go nowhere.

    Parameters
    ----------
    files
        The code of a TorchScript file by its name, ``code/__torch__/....py``.
    """
    for tree in files.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.While) or (isinstance(node, ast.Name) and node.id == "print"):
                return True
        if _nested(tree) > _SMALL:
            return True
    return _Calls(files).most() > _SMALL


def turns(loop: ast.For) -> int | None:
    """Return how often a loop is gone through where that is written as one number, else None."""
    numbers = loop.iter.args if isinstance(loop.iter, ast.Call) else []
    last = numbers[0] if len(numbers) == 1 else None
    return last.value if isinstance(last, ast.Constant) and isinstance(last.value, int) else None


def _nested(node: ast.AST) -> float:
    """Return the most turns of loops within each other, infinity for a loop without a number."""
    inner = max((_nested(child) for child in ast.iter_child_nodes(node)), default=1.0)
    if not isinstance(node, ast.For):
        return inner
    own = turns(node)
    return float("inf") if own is None else inner * max(own, 1)


class _Calls:
    """Counts the calls that the call of a function leads to, by the types that the code states everywhere.

    Files are found without regard to case, as PyTorch finds them; so modules, classes and functions are known by their
    names in small letters, and two of one name count as endless.
    """

    def __init__(self, files: Mapping[str, ast.Module]) -> None:
        self._functions: dict[str, tuple[str, ast.FunctionDef]] = {}
        self._fields: dict[str, dict[str, str]] = {}
        self._counts: dict[str, float] = {}
        self._twins = False
        for name, tree in files.items():
            package = name.removeprefix("code/").removesuffix(".py").replace("/", ".").lower()
            for item in tree.body:
                if isinstance(item, ast.FunctionDef):
                    self._add_function(package, item)
                elif isinstance(item, ast.ClassDef):
                    self._add_class(f"{package}.{item.name}".lower(), item)

    def most(self) -> float:
        """Return the most calls that one function leads to."""
        if self._twins:
            return float("inf")
        try:
            return max(map(self._count, self._functions), default=0.0)
        except RecursionError:
            return float("inf")

    def _add_function(self, owner: str, item: ast.FunctionDef) -> None:
        name = f"{owner}.{item.name}".lower()
        self._twins |= name in self._functions
        self._functions[name] = (owner, item)

    def _add_class(self, name: str, item: ast.ClassDef) -> None:
        self._twins |= name in self._fields
        fields = self._fields[name] = {}
        for part in item.body:
            if isinstance(part, ast.FunctionDef):
                self._add_function(name, part)
            elif isinstance(part, ast.AnnAssign):
                fields[ast.unparse(part.target)] = ast.unparse(part.annotation).lower()
            elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Subscript):
                # A name that is no identifier: `__annotations__["0"] = ...`.
                key = part.targets[0].slice
                fields[str(getattr(key, "value", ""))] = ast.unparse(part.value).lower()

    def _count(self, name: str) -> float:
        if name not in self._counts:
            self._counts[name] = float("inf")  # One that calls itself.
            owner, function = self._functions[name]
            called = [target for target in self._called(owner, function) if target in self._functions]
            self._counts[name] = 1.0 + sum(map(self._count, called))
        return self._counts[name]

    def _called(self, owner: str, function: ast.FunctionDef) -> Iterator[str]:
        """Return the names of what a function calls, as often as it does."""
        types = {
            argument.arg: ast.unparse(argument.annotation).lower() if argument.annotation else owner
            for argument in function.args.args
        }

        def of(value: ast.expr) -> str:
            if isinstance(value, ast.Name):
                return types.get(value.id, value.id.lower())
            if isinstance(value, ast.Attribute):
                base = of(value.value)
                return self._fields.get(base, {}).get(value.attr, f"{base}.{value.attr.lower()}")
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "getattr":
                base, key = of(value.args[0]), value.args[1]
                return self._fields.get(base, {}).get(str(getattr(key, "value", "")), "")
            return ""

        # Names are given in the order of the code; `ast.walk` goes by depth.
        for node in _in_order(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                types[node.targets[0].id] = of(node.value)
            elif isinstance(node, ast.Call):
                yield of(node.func)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)
