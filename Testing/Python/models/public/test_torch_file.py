"""PyTorch's files of weights read without PyTorch: the same numbers, and nothing but numbers."""

import argparse
import io
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.public.torch_file import read_torch_file
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict


def _network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def _save(path: Path, data: object, **options) -> Path:
    torch.save(data, path, **options)
    return path


def _with_pickle(path: Path, source: Path, data: bytes, *, parts: dict[str, bytes] | None = None) -> Path:
    """Write the archive `source` again with another pickle, and with other `parts`."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as other:
        for name in archive.namelist():
            short = name.partition("/")[2]
            other.writestr(name, data if short == "data.pkl" else (parts or {}).get(short, archive.read(name)))
    return path


def _same(path: Path) -> None:
    ours, theirs = read_torch_file(path), read_state_dict(path)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].shape == tuple(tensor.shape), name
        np.testing.assert_array_equal(ours[name], tensor.detach().numpy(), strict=True)


def test_a_state_dict_is_read_as_pytorch_reads_it(tmp_path: Path) -> None:
    _same(_save(tmp_path / "pytorch_model.bin", _network().state_dict()))


def test_the_later_protocol_which_pytorch_does_not_read_safely_is_read(tmp_path: Path) -> None:
    state = _network().state_dict()
    arrays = read_torch_file(_save(tmp_path / "pytorch_model.bin", state, pickle_protocol=4))
    assert all((arrays[name] == value.numpy()).all() for name, value in state.items())
    assert list(arrays) == list(state)


def test_every_kind_of_number_and_every_view_is_read_as_pytorch_reads_it(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    state = {
        "transposed": base.permute(2, 0, 1),
        "row": base[1],
        "every_second": base[:, ::2, 1:4:2],
        "shared": base,
        "scalar": torch.tensor(3.5),
        "none": torch.zeros(0, 4),
        "half": torch.randn(7).half(),
        "bfloat": torch.randn(9).bfloat16(),
        "double": torch.randn(4).double(),
        "steps": torch.tensor(12),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
    }
    _same(_save(tmp_path / "state.pt", state))


def test_tensors_are_found_in_a_checkpoint_and_its_settings_left(tmp_path: Path) -> None:
    network = _network()
    optimizer = torch.optim.Adam(network.parameters())
    network[2](torch.ones(1, 4)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict((f"model.{name}", value) for name, value in network.state_dict().items()),
        "hyper_parameters": {"lr": 1e-3, "encoder": "resnet34", "sizes": [1, (2, 3)], "none": None, "big": 2**70},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"milestones": Counter({3: 1})}],
        "loops": {"shape": torch.Size([3]), "dtype": torch.float32, "device": torch.device("cpu")},
    }
    for wrapped in (checkpoint, {"model_state_dict": checkpoint["state_dict"]}, {"model": checkpoint["state_dict"]}):
        _same(_save(tmp_path / "last.ckpt", wrapped))


def test_reading_needs_no_pytorch(tmp_path: Path) -> None:
    path = _save(tmp_path / "weights.pth", _network().state_dict())
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from AcuteFindingsLib.models.public.torch_file import read_torch_file\n"
        "print(len(read_torch_file(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "9", done.stderr


class _Runs:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.touched,))


def test_a_pickle_that_would_run_something_is_refused_and_does_not(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    good = _save(tmp_path / "good.pt", {"a": torch.ones(2)})
    for number, hidden in enumerate([{"a": _Runs(touched)}, {"state_dict": {"a": torch.ones(2)}, "x": _Runs(touched)}]):
        data = io.BytesIO()
        torch.save(hidden, data)
        path = tmp_path / f"bad{number}.pt"
        path.write_bytes(data.getvalue())
        with pytest.raises(ModelError, match="was refused"):
            read_torch_file(path)
    calls = [
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02\x82\x01.",
        # The state of what is allowed is not written either.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__)sb.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\nX\x01\x00\x00\x00a\x85R.",
    ]
    for data in calls:
        with pytest.raises(ModelError, match=r"was refused: it holds .*safetensors"):
            read_torch_file(_with_pickle(tmp_path / "call.pt", good, data))
    assert not touched.exists()


def test_objects_of_a_training_script_and_numbers_that_are_not_plain_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for data, told in [
        ({"state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        (_network(), "torch.nn.modules.container.Sequential"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
        ({"a": torch.ones(2).to_sparse()}, "sparse"),
    ]:
        with pytest.raises(ModelError, match=told):
            read_torch_file(_save(tmp_path / "other.pt", data))


def test_files_that_are_no_weights_are_told_apart(tmp_path: Path) -> None:
    old = _save(tmp_path / "old.pth", _network().state_dict(), _use_new_zipfile_serialization=False)
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), script)
    text = tmp_path / "pointer.bin"
    text.write_text("version https://git-lfs.github.com/spec/v1\n")
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"x")
    nothing = _save(tmp_path / "nothing.pt", {"epoch": 3, "names": ["a"]})
    for path, told in [
        (old, "PyTorch before 1.6"),
        (script, "TorchScript program"),
        (text, "begins like none"),
        (archive, "did not write"),
        (nothing, r"no tensors by name .* its entries are 'epoch', 'names'"),
        (tmp_path / "none.bin", "There is no file"),
    ]:
        with pytest.raises(ModelError, match=told):
            read_torch_file(path)


def _tensor_pickle(*, count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """Return the pickle of ``{"a": tensor}`` over a storage of `count` numbers."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQ"
    view = b"(" + storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + view + b"Rs."


def test_a_tensor_never_shows_more_than_its_file_has(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.pt", {"a": torch.arange(6.0)})
    fine = _tensor_pickle(count=6, offset=1, shape=(2, 2), strides=(2, 1))
    assert read_torch_file(_with_pickle(tmp_path / "fine.pt", good, fine))["a"].tolist() == [[1, 2], [3, 4]]
    for claim in [
        {"count": 6, "offset": 0, "shape": (7,), "strides": (1,)},
        {"count": 6, "offset": 5, "shape": (2,), "strides": (1,)},
        {"count": 6, "offset": 0, "shape": (2,), "strides": (6,)},
        {"count": 6, "offset": 6, "shape": (), "strides": ()},
        {"count": 6, "offset": 3, "shape": (2,), "strides": (-1,)},
        {"count": 7, "offset": 0, "shape": (7,), "strides": (1,)},
        {"count": 6, "offset": 0, "shape": (10**6, 10**6), "strides": (0, 0)},
        {"count": 6, "offset": 0, "shape": (2, 2), "strides": (1,)},
        {"count": 6, "offset": 0, "shape": (1,) * 70, "strides": (1,) * 70},
    ]:
        with pytest.raises(ModelError, match=r"more numbers|another length|damaged|more than 1000 million"):
            read_torch_file(_with_pickle(tmp_path / "claim.pt", good, _tensor_pickle(**claim)))


def test_a_changed_byte_and_a_cut_file_are_told(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.pt", {"a": torch.full((64,), 7.0)}).read_bytes()
    at = good.index(struct.pack("<f", 7.0) * 4)
    changed = tmp_path / "changed.pt"
    changed.write_bytes(good[:at] + b"\x01" + good[at + 1 :])
    with pytest.raises(ModelError, match="damaged"):
        read_torch_file(changed)
    changed.write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelError, match="its end is missing"):
        read_torch_file(changed)


def test_small_pickles_cannot_take_much_time_memory_or_depth(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.pt", {"a": torch.arange(6.0)})
    # A mapping a thousand times in itself, a deep tuple as a key, a number of a gigabyte, a far place in the memo.
    itself = b"\x80\x02}q\x00(" + b"".join(b"M" + struct.pack("<H", k) + b"h\x00" for k in range(1000)) + b"u."
    deep = b"\x80\x02})" + b"\x85" * 500_000 + b"K\x01s."
    large = b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x."
    far = b"\x80\x02}r\xff\xff\xff\x7f."
    for data in (itself, deep, large, far):
        with pytest.raises(ModelError):
            read_torch_file(_with_pickle(tmp_path / "bomb.pt", good, data))


def test_pythons_own_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"a": np.ones(3)}))
    with pytest.raises(ModelError, match="begins like none"):
        read_torch_file(path)
