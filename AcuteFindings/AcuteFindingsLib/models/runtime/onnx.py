"""ONNX files run by ONNX Runtime; torch is not needed."""

from pathlib import Path

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.device import choose_onnx_device
from AcuteFindingsLib.models.runtime.bounded import Run, load_bounded
from AcuteFindingsLib.models.runtime.onnx_check import check_onnx
from AcuteFindingsLib.models.runtime.session import Session, line_of, open_session
from AcuteFindingsLib.study.notice import Notice


def load_onnx(path: Path, *, device: str) -> Run:
    """Load an ONNX file of one input, one that may not end into a process of its own.

    Nothing but what is in the file itself is read.

    Raises
    ------
    ModelError
        When the file is damaged, takes several inputs, or needs operators or files that are not there; or when ONNX
        Runtime or the device is not there.
    """
    choose_onnx_device(device)
    endless = check_onnx(path)
    return load_bounded("onnx", path, device=device) if endless else open_onnx(path, device=device)


def open_onnx(path: Path, *, device: str) -> Run:
    """Load an ONNX file that was checked into this process; raises `ModelError` as `load_onnx`."""
    session = open_session(path.read_bytes(), device=device, name=path.name)
    inputs = session.inputs
    if len(inputs) != 1:
        raise ModelError(f"{path.name} takes {len(inputs)} inputs; one batch of pictures is expected.")
    if inputs[0].type not in _KINDS:
        raise ModelError(f"{path.name} takes {inputs[0].type}, not decimal numbers; export it with a float32 input.")
    return _OnnxFile(path, session)


class _OnnxFile:
    """An ONNX file of one input, ready to run."""

    def __init__(self, path: Path, session: Session) -> None:
        self._path, self._session = path, session
        (given,) = session.inputs
        self._input, self._kind, self._shape = given.name, _KINDS[given.type], list(given.shape)
        self._names = [output.name for output in session.outputs]
        self.runtime = session.runtime

    @property
    def device(self) -> str:
        return self._session.device

    @property
    def notices(self) -> tuple[Notice, ...]:
        return self._session.notices

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        # A model exported for a number of pictures is given so many: the last ones again where some are lacking.
        fixed = self._shape[0] if self._shape and isinstance(self._shape[0], int) else 0
        parts = [batch] if fixed in (0, len(batch)) else in_batches_of(fixed, batch)
        try:
            answers = [
                self._session.run(self._names, {self._input: part.astype(self._kind, copy=False)}) for part in parts
            ]
        except Exception as error:
            raise ModelError(_misfit(self._path, self._shape, batch.shape, error)) from error
        if len(parts) == 1 and len(parts[0]) == len(batch):
            return dict(zip(self._names, answers[0], strict=True))
        joined = [np.concatenate(values)[: len(batch)] for values in zip(*answers, strict=True)]
        return dict(zip(self._names, joined, strict=True))


def in_batches_of(count: int, batch: np.ndarray) -> list[np.ndarray]:
    """Return a batch in parts of exactly `count`; the last one is filled with its last item."""
    parts = [batch[start : start + count] for start in range(0, len(batch), count)]
    lacking = count - len(parts[-1])
    if lacking:
        parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], lacking, axis=0)])
    return parts


def _misfit(path: Path, shape: list[object], given: tuple[int, ...], error: Exception) -> str:
    """Say why a batch does not fit: by its channels or its size, where that is seen."""
    if len(shape) == len(given) == 4:
        _, channels, rows, columns = shape
        if isinstance(columns, int) and columns <= 4 and not (isinstance(channels, int) and channels <= 4):
            return f"{path.name} takes its channels last; export it with channels first (n, channels, rows, columns)."
        if isinstance(channels, int) and channels != given[1]:
            return (
                f"{path.name} takes pictures of {channels} channels, and the detector shows it {given[1]}; export it "
                f"with a first layer that repeats the gray picture {channels} times and normalizes it."
            )
        if (isinstance(rows, int) and rows != given[2]) or (isinstance(columns, int) and columns != given[3]):
            size = f"{rows}×{columns} pixels, not {given[2]}×{given[3]}"
            return f"{path.name} takes pictures of {size}; choose it with --size."
    return f"{path.name} could not process a batch of shape {given}: {line_of(error)}."


_KINDS: dict[str, type] = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
