"""What a TorchScript file asks for, looked at before anything of it is run: an allow-list of operators.

The code of the file is read as text (it is a part of Python); its operators are looked up in torch's own table. Loading
alone runs code already (`__setstate__`), so nothing is loaded before this.
"""

import ast
import io
import pickletools
import re
import zipfile
from functools import cache
from pathlib import Path

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import ZIP_FAILS
from AcuteFindingsLib.models.runtime.torchscript_turns import may_not_end, turns

# An operator is allowed where its schema takes texts only to choose a way of computing: never as a file's name.
_TEXT_ARGUMENTS = frozenset(
    """UPLO a api_name approximate assert_msg b chars cls driver el equation fillchar idx ind indexing input inputs
    interpolation item key l message mode msg new norm old ord p pad_mode padding padding_side reduce rounding_mode s
    self separator side string substr t type values""".split()  # noqa: SIM905
)
_REFUSED = frozenset(["from_file", "save", "load", "open", "set_data", "fork", "rpc", "rpc_async", "wait", "awaitable"])
_NAMESPACES = frozenset(["aten", "prim", "quantized", "torchvision"])
_MOST_TURNS = 100_000
_CLASSES = re.compile(r"torch\.classes\.(?!quantized(\.|$))")


def check_torchscript(path: Path) -> bool:
    """Refuse a TorchScript file whose code calls anything but operators that compute with tensors and numbers.

    Returns
    -------
    bool
        Whether it must be run apart: see `may_not_end`.

    Raises
    ------
    ModelError
        Names the operator.
    """
    limits = budgets()
    code_files: dict[str, ast.Module] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in _entries(path, archive):
                # PyTorch looks names up without regard to case.
                inner = entry.filename.partition("/")[2].lower()
                code, pickled = inner.startswith("code/") and inner.endswith(".py"), inner.endswith(".pkl")
                if not (code or pickled):
                    continue
                if entry.file_size > limits.text_bytes:
                    raise ModelError(f"{path.name} has code of more than {limits.text_bytes >> 20} MB; do not use it.")
                content = archive.read(entry)
                if code:
                    code_files[inner] = _check_code(path, content.decode("utf-8"))
                elif inner in ("data.pkl", "constants.pkl"):
                    _check_pickle(path, content)
    except ZIP_FAILS as error:
        raise ModelError(
            f"{path.name} is not a readable TorchScript file: {' '.join(str(error).split())[:200]}."
        ) from error
    return may_not_end(code_files)


def as_checked(path: Path) -> io.BytesIO:
    """Return the archive of a TorchScript file packed anew from the files that `check_torchscript` looks at.

    A zip can be made so that two readers see other files in it. What PyTorch opens must be what was checked.
    """
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as anew:
            for entry in _entries(path, archive):
                anew.writestr(entry.filename, archive.read(entry))
    except ZIP_FAILS as error:
        raise ModelError(f"{path.name} is not a readable TorchScript file.") from error
    packed.seek(0)
    return packed


def _entries(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    limits, entries = budgets(), archive.infolist()
    total = sum(entry.file_size for entry in entries)
    bomb = total > limits.ratio_counts_from and total > limits.unpacked_ratio * path.stat().st_size
    if len(entries) > limits.archive_members or total > limits.archive_bytes or bomb:
        raise ModelError(f"{path.name} unpacks to more than any model here; do not use it.")
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names) or any(entry.filename != entry.orig_filename for entry in entries):
        raise ModelError(f"{path.name} was refused: names of files in it are not plain, or there twice.")
    return entries


def _check_code(path: Path, text: str) -> ast.Module:
    try:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ModelError(f"{path.name} was refused: its code cannot be read ({type(error).__name__}).") from error
    for node in nodes:
        if isinstance(node, ast.Attribute):
            root = _root(node)
            if root and root[0] == "ops" and len(root) > 1 and root[1] not in _NAMESPACES:
                _refuse(path, ".".join(root))
            if root and root[0] == "__torch__" and _CLASSES.search(".".join(root)):
                _refuse(path, ".".join(root))
            if not _allowed(node.attr):
                _refuse(path, node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            # How names that are no identifiers are written: `getattr(self, "0")`.
            named = node.args[1] if len(node.args) == 2 else None
            if not isinstance(named, ast.Constant) or not _allowed(str(named.value)):
                _refuse(path, "getattr")
        elif isinstance(node, ast.For) and (turns(node) or 0) > _MOST_TURNS:
            raise ModelError(f"{path.name} was refused: its code holds a loop of more than {_MOST_TURNS:,} turns.")
        elif isinstance(node, ast.Name) and node.id in _REFUSED:
            _refuse(path, node.id)
    return tree


def _check_pickle(path: Path, content: bytes) -> None:
    for operation, argument, _ in pickletools.genops(content):
        if isinstance(argument, str):
            name = argument.replace(" ", ".") if operation.name == "GLOBAL" else argument
            if _CLASSES.search(name):
                _refuse(path, name)


def _root(node: ast.Attribute) -> tuple[str, ...]:
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        names.append(inner.attr)
        inner = inner.value
    return (inner.id, *reversed(names)) if isinstance(inner, ast.Name) else ()


@cache
def _allowed(name: str) -> bool:
    """Whether a name is no operator (a part of the module, then), or one that takes no file's name."""
    import torch

    if name in _REFUSED:
        return False
    schemas = [
        schema
        for namespace in ("aten", "prim")
        for schema in torch._C._jit_get_schemas_for_operator(f"{namespace}::{name}")
    ]
    return all(
        argument.name in _TEXT_ARGUMENTS
        for schema in schemas
        for argument in schema.arguments
        if str(argument.type).removeprefix("Optional[").startswith("str")
    )


def _refuse(path: Path, name: str) -> None:
    raise ModelError(
        f"{path.name} was refused: its code calls {ascii(name)[:80]}, which is not among the operators that only "
        "compute with tensors and numbers; ask for the weights as safetensors, or for an ONNX file."
    )
