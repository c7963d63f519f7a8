"""Sessions of ONNX Runtime: a model in memory, computed on the device asked for or, where that fails, the processor."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Protocol

import numpy as np

from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.last_resort import out_of_memory, sentence
from AcuteFindingsLib.models.device import CPU, PROVIDERS, choose_onnx_device
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.study.notice import Notice, Severity, merge_notices
from AcuteFindingsLib.threads import give_back_memory, thread_count

DIFFERENCE = 1e-3
"""How far an answer of another device may lie from the processor's, as a share of the largest value (at least 1).

Ours: single precision differs by about 1e-5, half precision by 1e-2. Half this of a logit near 0 is 0.0003 of the
probability.
"""

# What is not ONNX Runtime's default, by device; https://onnxruntime.ai/docs/execution-providers.
_OPTIONS: dict[str, dict[str, str]] = {
    # Not TensorFloat-32, which has ten bits. A search for the fastest algorithm is made anew for each size of a batch.
    "cuda": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"},
    # The Neural Engine, which is left out, computes in half precision.
    "coreml": {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU"},
    # As precise as the model is stored; its own default on graphics cards, and on processors that have it, is half.
    "openvino": {"precision": "ACCURACY"},
}

_SPIN = "0"
"""Threads that wait for work sleep: two processes at once otherwise take each other's cores."""

_ASKED_EVERY = 0.2
"""Seconds after which a run that takes long asks again whether to stop."""

_log = logging.getLogger(__name__)


class Session:
    """A model ready to run.

    Attributes
    ----------
    name
        Whose it is, for errors.
    device
        Where it computes now.
    runtime
        What computes it, with its version.
    notices
        Why it does not compute where that was asked for; none where it does.
    """

    def __init__(self, model: bytes, *, device: str, threads: int | None, name: str, keeps_memory: bool = True) -> None:
        self.name = name
        self.runtime = onnxruntime_version()
        self.notices: tuple[Notice, ...] = ()
        self._threads, self._keeps_memory = threads or thread_count(), keeps_memory
        self.device = choose_onnx_device(device)
        # Nobody asked for a device that `auto` only tried.
        self._untried: Severity = "info" if device == "auto" else "warn"
        # For the processor, in case the device fails; where it is the processor the session has a copy of its own.
        self._model = b"" if self.device == CPU else model
        self._compared = self.device == CPU
        if self.device != CPU:
            try:
                self._session = self._create(model, self.device)
                return
            except Exception as error:  # ONNX Runtime's own classes have no common base but this.
                self._move(_not_started(self.device, self._untried), error)
        try:
            self._session = self._create(model, CPU)
        except Exception as error:
            raise ModelError(f"{name} is not an ONNX model that can be run here: {line_of(error)}.") from error

    @property
    def inputs(self) -> list[Any]:
        """Return what the model takes: `name`, `type` and `shape` of each input."""
        return self._session.get_inputs()

    @property
    def outputs(self) -> list[Any]:
        """Return what the model gives: `name`, `type` and `shape` of each output."""
        return self._session.get_outputs()

    def run(
        self, names: Sequence[str], feeds: Mapping[str, np.ndarray], *, cancelled: Cancelled | None = None
    ) -> list[np.ndarray]:
        """Return outputs by their names, in this order.

        Where a device fails, or its first answer differs from the processor's by more than `DIFFERENCE`, the processor
        answers, from now on, and `notices` says so.

        Parameters
        ----------
        cancelled
            Asked while the model runs, for one that runs for seconds or minutes; True ends it after the operator that
            it is at.

        Raises
        ------
        CancelledError
            `cancelled` answered True.
        Exception
            ONNX Runtime's, where the model does not take this input or the memory does not suffice.
        """
        if self.device == CPU:
            return _run(self._session, names, feeds, cancelled)
        try:
            answers = _run(self._session, names, feeds, cancelled)
        except CancelledError:
            raise
        except Exception as error:
            if not self._keeps_memory and out_of_memory(error):
                raise  # What the device has no memory for is asked in smaller pieces.
            processor = self._create(self._model, CPU)
            # What the processor does not take either is no fault of the device.
            answers = _run(processor, names, feeds, cancelled)
            self._session = processor
            self._move(_failed(self.device, error), error)
            return answers
        if not self._compared:
            self._compared = True
            processor = self._create(self._model, CPU)
            first = {name: value[:1] for name, value in feeds.items()} if self._takes_one() else feeds
            difference = _difference(answers, _run(processor, names, first, cancelled))
            if not difference <= DIFFERENCE:  # also where it is not a number
                self._session = processor
                self._move(_differs(self.device, difference, self._untried))
                return _run(processor, names, feeds, cancelled)
        return answers

    def _create(self, model: bytes, device: str) -> Any:
        return _create(model, device, self._threads, keeps_memory=self._keeps_memory)

    def _takes_one(self) -> bool:
        return all(item.shape and not isinstance(item.shape[0], int) for item in (*self.inputs, *self.outputs))

    def _move(self, notice: Notice, error: BaseException | None = None) -> None:
        # The error's own words may name files; they are for the terminal only.
        level = logging.WARNING if notice.severity == "warn" else logging.INFO
        _log.log(level, "%s: %s%s", self.name, notice.text, f" ({line_of(error)})" if error else "")
        self.device, self.notices, self._model = CPU, (notice,), b""


def open_session(
    model: bytes,
    *,
    device: str = "auto",
    threads: int | None = None,
    name: str = "The model",
    keeps_memory: bool = True,
) -> Session:
    """Make a model ready to run.

    Parameters
    ----------
    model
        An ONNX file's content, with all that it needs.
    device
        One of `models.device.DEVICES`.
    threads
        How many compute; `threads.thread_count` when None.
    name
        Whose it is, for errors.
    keeps_memory
        Keep what a run took for the next one, as is fast for many short ones; else give it back while it runs, and
        leave a device's lack of memory to the caller, who takes smaller pieces.

    Raises
    ------
    ModelError
        ONNX Runtime is not installed, does not have the device, or cannot run the model.
    """
    return Session(model, device=device, threads=threads, name=name, keeps_memory=keeps_memory)


def onnxruntime_version() -> str:
    """Return what computes, with its version."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


class Computes(Protocol):
    """A session, or what holds one."""

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def notices(self) -> tuple[Notice, ...]: ...  # noqa: D102


def devices_of(parts: Iterable[Computes]) -> str:
    """Return where the parts of a model compute: one device, or several joined by plus signs."""
    return "+".join(dict.fromkeys(part.device for part in parts))


def notices_of(parts: Iterable[Computes]) -> tuple[Notice, ...]:
    """Return what the parts of a model have to say, each once."""
    return merge_notices(*(part.notices for part in parts))


def line_of(error: BaseException) -> str:
    """Return the message of a foreign error as one line."""
    return " ".join(str(error).split())[:300].rstrip(".")


def _run(
    session: Any, names: Sequence[str], feeds: Mapping[str, np.ndarray], cancelled: Cancelled | None
) -> list[np.ndarray]:
    if cancelled is None:
        return session.run(list(names), dict(feeds))
    import onnxruntime

    stop_if(cancelled)
    options = onnxruntime.RunOptions()
    # The model runs beside, so that `cancelled` is asked where everything else asks it.
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(session.run, list(names), dict(feeds), options)
        try:
            while wait([running], _ASKED_EVERY).not_done:
                stop_if(cancelled)
        except BaseException:
            options.terminate = True
            raise
    return running.result()


def _create(model: bytes, device: str, threads: int, *, keeps_memory: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # What fails is raised, and told once.
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", _SPIN)
    # Measured (docs/decisions/11-onnx-runtime.md): as fast without, and a third less memory.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = keeps_memory
    name, _, number = device.partition(":")
    if name == CPU:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        # Kept for ONNX Runtime's own way to other devices; the model lies in memory twice otherwise.
        session._model_bytes = b""
        # ONNX Runtime parses and packs the weights; of 217 MB glibc kept another 460 MB otherwise.
        give_back_memory()
        return session
    if name == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # The libraries of pip's nvidia packages, or PyTorch's.
    provider = PROVIDERS[name]
    settings = dict(_OPTIONS.get(name, {}))
    if number:
        settings["device_id"] = number
    if name == "openvino":
        settings["num_of_threads"] = str(threads)
    session = onnxruntime.InferenceSession(
        model, options, providers=[(provider, settings), "CPUExecutionProvider"], enable_fallback=0
    )
    if provider not in session.get_providers():
        # ONNX Runtime leaves out what it cannot load, without an error.
        raise RuntimeError(f"{provider} could not be loaded")
    session._model_bytes = b""
    return session


def _difference(answers: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference of the first items, as a share of the largest value expected, at least 1."""
    shares = [
        float(np.abs(answer[: len(value)] - value).max() / max(1.0, float(np.abs(value).max())))
        for answer, value in zip(answers, expected, strict=True)
        if value.size
    ]
    return float(np.max(shares)) if shares else 0.0


def _not_started(device: str, severity: Severity) -> Notice:
    return Notice(
        "device-not-started",
        severity,
        f"ONNX Runtime could not start the device {device}, so the processor computed this result; update the device's "
        "driver and libraries, or choose the device cpu.",
    )


def _failed(device: str, error: BaseException) -> Notice:
    why = f"The device {device} failed while it computed"
    if out_of_memory(error):
        why = sentence(error).rstrip(".")
    return Notice("device-failed", "warn", f"{why}; the processor computed the rest of this result.")


def _differs(device: str, difference: float, severity: Severity) -> Notice:
    return Notice(
        "device-differs",
        severity,
        f"The device {device} gives other answers than the processor (by {difference:.2g}, at most {DIFFERENCE:g} is "
        "expected), so the processor computed this result; update the device's driver, or choose the device cpu.",
    )
