"""What every import hands on: a network with weights, or programs, and how to ask its source the same question."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Label, Network, OperatingPoint, Task
from AcuteFindingsLib.models.task import ModelTask, ProgramForm

Answers = Mapping[str, np.ndarray]
Head = Literal["softmax", "sigmoid"]


class SourceMissingError(Exception):
    """The software that the weights come from is not installed here, so it cannot be asked."""


@dataclass(frozen=True)
class Options:
    """What the person says of a model where the file does not.

    Attributes
    ----------
    task
        What the model is for; None for what its architecture is mostly used for.
    tasks
        All tasks that a model can be for, by name.
    also
        Further files by the part that they hold: ``{"sequence": Path("lstm.h5")}``.
    size
        Pixels per side of the pictures; None for the architecture's own.
    mean, std
        How pictures in 0..1 are normalized: one number, or one per channel. None for the architecture's own.
    labels
        Names of the outputs, in order.
    encoder, decoder
        Of segmentation-models-pytorch, by its names.
    network
        Of timm, by its name.
    windows
        Level and width in HU of each window of a CT that is a channel; empty for the usual ones.
    slices
        How many slices in a row are channels, the one that is answered for in their middle.
    window_first
        The channels are all slices in the first window, then all in the next; else all windows of the first slice.
    pooling
        How a GRU's or LSTM's answers become that of a study: mean, max or attention.
    channel
        Which output of several is meant.
    outputs
        Names that a program's outputs get, in order, by part (``""`` for its only one).
    probabilities
        A program answers with probabilities (True) or with logits (False); None where it is to be seen from the file.
    head
        ``"softmax"`` where the outputs exclude each other, ``"sigmoid"`` where each stands for itself; None for what
        the architecture is mostly trained with, and where that is not plain the import asks.
    source_python
        Interpreter that has the source framework, where this one has not.
    """

    task: Task | None = None
    tasks: Mapping[str, ModelTask] = field(default_factory=dict)
    also: Mapping[str, Path] = field(default_factory=dict)
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] = ()
    encoder: str | None = None
    decoder: str | None = None
    network: str | None = None
    windows: tuple[tuple[float, float], ...] = ()
    slices: int = 3
    window_first: bool = False
    pooling: str | None = None
    channel: int | None = None
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    probabilities: bool | None = None
    head: Head | None = None
    source_python: Path | None = None


@dataclass(frozen=True)
class Probe:
    """One question to ask source and result.

    Attributes
    ----------
    batch
        float32 input of the result, as `Predictor.predict` takes it.
    ask
        Puts a question like `question` to the source; raises `SourceMissingError` where it is not installed.
    part
        Part of the network that answers.
    probabilities
        Outputs that the source gives as probabilities, where ours are logits.
    pictures
        ``(n, 1, y, x)`` in 0..1: what `batch` shows, before it is normalized; None where the source takes `batch`.
    """

    batch: np.ndarray
    ask: Callable[[np.ndarray], Answers]
    part: str = ""
    probabilities: frozenset[str] = frozenset()
    pictures: np.ndarray | None = None

    @property
    def question(self) -> np.ndarray:
        """Return what the source is asked."""
        return self.batch if self.pictures is None else self.pictures


@dataclass(frozen=True)
class Converted:
    """A model read and understood, before it is proven and written.

    Attributes
    ----------
    network
        Name and arguments for `build_network`, or of a program.
    state
        Its weights; None for programs.
    programs
        Files that run by themselves, by their path in the package.
    form
        What the file is, in words.
    framework
        What it is compared with, in words.
    preprocessing, labels, points
        As the card states them.
    image
        ``(channels, pixels per side, lowest value, highest value)`` of what the network is shown.
    remarks
        What a person should know: layers left out, numbers assumed.
    sources
        Papers of the architecture.
    model_form
        As the card states it (`models.task.ModelForm`); empty for the task's usual one.
    """

    task: Task
    title: str
    network: Network
    form: str
    framework: str
    probes: tuple[Probe, ...]
    preprocessing: dict[str, Any]
    labels: tuple[Label, ...]
    points: tuple[OperatingPoint, ...]
    image: tuple[int, int, float, float]
    state: Mapping[str, torch.Tensor] | None = None
    programs: Mapping[str, Path] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    model_form: str = ""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities of classes that exclude each other, over the second axis, in double precision."""
    values = np.asarray(logits, np.float64)
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


_FAINT = 0.01


def random_pictures(channels: int, size: int, *, low: float, high: float, count: int = 2) -> np.ndarray:
    """Return the pictures that are shown to source and result: noise, the same in every import.

    The first one fills the range; the others are faint, so that probabilities that noise drives to certainty, where
    every network answers alike, are asked for in between too.
    """
    pictures = np.random.default_rng(20).uniform(low, high, (count, channels, size, size))
    middle = (low + high) / 2
    pictures[1:] = middle + _FAINT * (pictures[1:] - middle)
    return pictures.astype(np.float32)


def normalization(
    channels: int, options: Options, *, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation for each channel: as the person says, else as given here, else 0 and 1.

    Raises
    ------
    ModelError
        When there is not one of each for every channel.
    """
    means, stds = options.mean or mean or (0.0,), options.std or std or (1.0,)
    means, stds = (tuple(values) * channels if len(values) == 1 else tuple(values) for values in (means, stds))
    if len(means) != channels or len(stds) != channels or min(stds) <= 0:
        raise ModelError(f"The network takes {channels} channels: give one mean and one positive deviation for each.")
    return means, stds


def normalized(gray: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Return gray pictures ``(n, 1, y, x)`` as a source is shown them: ``(n, c, y, x)``."""
    shape = (1, -1, 1, 1)
    return ((gray - np.reshape(mean, shape)) / np.reshape(std, shape)).astype(np.float32)


def task_of(options: Options, importer: str, serves: Callable[[ProgramForm], bool], *, file: str) -> ModelTask:
    """Return the task that a file is imported for: the one asked for, else the one that such files are mostly for.

    Parameters
    ----------
    importer
        Name of the form of file, as `ProgramForm.default_of` and `ProgramForm.label_sets` have it.
    serves
        Whether such a file can answer for a task of this form.
    file
        Name of the file, for messages.

    Raises
    ------
    ModelError
        No task is named and none is the usual one, or the file cannot answer for the one that is named.
    """
    fitting = {name: task for name, task in options.tasks.items() if task.program is not None and serves(task.program)}
    usual = (name for name, task in fitting.items() if task.program and importer in task.program.default_of)
    name = options.task or next(usual, None)
    if name is None:
        raise ModelError(f"{file} does not say what it is for: choose --task {', '.join(fitting)}.")
    if name not in fitting:
        raise ModelError(f"{file} cannot be used for {name}; choose --task {', '.join(fitting)}.")
    return fitting[name]


def draws_mask(form: ProgramForm) -> bool:
    """Whether a model of one part that draws a mask answers for a task."""
    return [outputs.needed for outputs in form.parts.values()] == [("mask",)]


def names_findings(form: ProgramForm) -> bool:
    """Whether a model of one part that gives a probability a finding answers for a task."""
    return [outputs.needed for outputs in form.parts.values()] == [("pathologies",)]


def public_names(form: ProgramForm) -> frozenset[str]:
    """Return the names that public models of a task give their outputs."""
    return frozenset(name for sets in form.label_sets.values() for names in sets for name in names)


def form_of(task: ModelTask) -> ProgramForm:
    """Return what an imported model of a task must have; raises `ModelError` where none can be imported."""
    if task.program is None:
        raise ModelError(f"Models for {task.id} cannot be imported.")
    return task.program


def labels_of(task: ModelTask, names: Iterable[str]) -> tuple[Label, ...]:
    """Return labels with what is known of them."""
    known = (task.label(name) for name in names)
    return tuple(Label(name=one.name, meaning=one.meaning, code=one.code) for one in known)


def points_of(task: ModelTask, labels: Sequence[Label]) -> tuple[OperatingPoint, ...]:
    """Return the operating points that an imported model of a task starts with."""
    return tuple(
        OperatingPoint(level=point.level, label=label.name, threshold=point.threshold, chosen=point.chosen or HALF)
        for point in form_of(task).points
        for label in (labels if point.every_label else labels[:1])
    )


HALF = "half, for the source states none; choose it on your own studies"
