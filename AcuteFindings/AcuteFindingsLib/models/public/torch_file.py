"""PyTorch's files of weights (``pytorch_model.bin``, ``.pt``, ``.pth``, ``.ckpt``) without PyTorch, as data alone.

Such a file is a zip archive of one pickle that names the tensors, and of one file of bytes a storage (`torch.save`
since 1.6). The pickle is not given to Python's unpickler, see `models.public.torch_pickle`.
"""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.checkpoint import require_room, require_state
from AcuteFindingsLib.models.public.torch_pickle import BFLOAT16, RefusedError, Storage, StoredTensor, read_pickle

# The number that a file of PyTorch before 1.6 begins with (`torch/serialization.py`, MAGIC_NUMBER), as pickled.
_BEFORE_1_6 = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_torch_file(path: Path | str) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch file of weights without PyTorch; executes nothing.

    Parameters
    ----------
    path
        A file of `torch.save` (PyTorch 1.6 or later) that holds tensors by name, also inside a checkpoint
        (`models.checkpoint.WRAPPERS`; Lightning's too) beside settings of plain values.

    Returns
    -------
    dict
        Name → array of the tensor's shape, in the file's order. Floating-point numbers of any precision are float32;
        integers and booleans are as in the file. Arrays may be read-only and share memory.

    Raises
    ------
    ModelError
        The file is missing, damaged, of PyTorch before 1.6, a TorchScript program, holds no tensors by name, claims
        more numbers than it has, or holds anything else than tensors and containers: says what and what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"There is no file {path}; correct the path.")
    if not zipfile.is_zipfile(path):
        raise ModelError(_not_an_archive(path))
    try:
        require_room(path)
        with zipfile.ZipFile(path) as archive:
            folder = _folder(archive, path)
            entry = archive.getinfo(f"{folder}data.pkl")
            if entry.file_size > budgets().settings_bytes:
                raise ModelError(f"{path} names its tensors in {entry.file_size / 1e6:.0f} MB, more than any model's.")
            # Read whole, so that its checksum is compared before anything of it counts.
            state = require_state(read_pickle(BytesIO(archive.read(entry))), StoredTensor, path)
            return _arrays(archive, f"{folder}data/", state, path)
    except RefusedError as error:
        raise ModelError(
            f"{path} was refused: it holds {error}, and only tensors in plain containers are read; ask for the weights "
            "as safetensors, or save the model's state_dict() by itself."
        ) from error
    except (RuntimeError, zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError,
            struct.error, zlib.error) as error:  # fmt: skip
        told = ascii(str(error))[1:-1][:200] or type(error).__name__
        raise ModelError(f"{path} is not a readable PyTorch weights file, or it is damaged: {told}.") from error


def _not_an_archive(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(512)
    if start[2:].startswith(_BEFORE_1_6) or start[257:262] == b"ustar":
        return (
            f"{path} is in the format of PyTorch before 1.6, which is read only with PyTorch; save it again there with "
            "torch.save(torch.load(FILE, weights_only=True), NEW_FILE), or ask for the weights as safetensors."
        )
    return f"{path} is not a readable PyTorch weights file: it begins like none, or its end is missing."


def _folder(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the folder in the archive that all of its files lie in, with a slash at its end."""
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1 or len(set(names)) != len(names):
        raise ModelError(f"{path} is a zip archive that PyTorch did not write; a file of weights was expected.")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise ModelError(f"{path} is a TorchScript program, not weights alone; import it with --as torchscript.")
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in names else b"little"
    if order != b"little":
        raise ModelError(f"{path} has its bytes in the order {ascii(order)[:20]}; little-endian files are read.")
    return folder


def _arrays(
    archive: zipfile.ZipFile, folder: str, state: Mapping[str, StoredTensor], path: Path
) -> dict[str, np.ndarray]:
    if sum(tensor.size for tensor in state.values()) > budgets().network_values:
        raise ModelError(f"{path} holds more than {budgets().network_values / 1e6:.0f} million numbers.")
    read: dict[tuple[str, str, int], np.ndarray] = {}
    arrays = {}
    for name, tensor in state.items():
        storage = tensor.storage
        end = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)) + 1
        if tensor.size > storage.count or (tensor.size and end > storage.count):
            raise ModelError(f"{path}: the tensor {ascii(name)[1:-1]} claims more numbers than the file holds.")
        key = (storage.key, storage.kind, storage.count)
        if key not in read:
            read[key] = _numbers(archive, f"{folder}{storage.key}", storage, path)
        numbers = read[key][tensor.offset :]
        if not tensor.size:
            numbers = np.empty(1, numbers.dtype)
        strides = [step * numbers.itemsize for step in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)
    return arrays


def _numbers(archive: zipfile.ZipFile, file: str, storage: Storage, path: Path) -> np.ndarray:
    """Return a storage's numbers, floating-point ones as float32."""
    kind = np.dtype("<u2" if storage.kind == BFLOAT16 else storage.kind)
    if archive.getinfo(file).file_size != storage.count * kind.itemsize:
        raise ModelError(f"{path}: its part {ascii(storage.key)[1:-1]} has another length than it states.")
    numbers = np.frombuffer(archive.read(file), kind)
    if storage.kind == BFLOAT16:
        return (numbers.astype("<u4") << 16).view("<f4")
    return numbers.astype("<f4", copy=False) if kind.kind == "f" else numbers
