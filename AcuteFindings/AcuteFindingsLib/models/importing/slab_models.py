"""Slice networks of timm for CT: several slices and windows as channels, and what reads the series, if anything."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import (
    HALF,
    Answers,
    Converted,
    Options,
    Probe,
    labels_of,
    normalization,
    random_pictures,
)
from AcuteFindingsLib.models.importing.heads import Outputs, choose_outputs
from AcuteFindingsLib.models.importing.sequence_heads import SeriesFile, has_series, read_series
from AcuteFindingsLib.models.importing.timm_models import SOURCE, read_timm
from AcuteFindingsLib.models.metadata import Network, OperatingPoint
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict
from AcuteFindingsLib.models.task import SLABS, ModelTask
from AcuteFindingsLib.networks.timm_classifier import layout_of

# Slices of CT have 512 pixels a side; smaller networks are shown them whole.
_MATRIX = 512
_ALL_SLICES = 4096


def takes_slabs(task: ModelTask | None) -> bool:
    """Whether models of a task may be slice networks on slabs."""
    return task is not None and any(form.id == SLABS for form in task.forms)


def convert_slabs(path: Path, options: Options, task: ModelTask) -> Converted:
    """Read a slice network of timm, and a GRU or LSTM beside it or in ``options.also["sequence"]``.

    Parameters
    ----------
    path
        As of `timm_models.convert_timm`.
    options
        `windows`, `slices` and `window_first` say what the channels are; `pooling` how the study is read.

    Raises
    ------
    ModelError
        As `convert_timm`; when the channels are not so many, or what reads the series does not show.
    """
    usual = task.load_settings(SLABS)()
    windows = options.windows or usual.windows
    file = read_timm(path, options, size=usual.size, bare=True)
    slices, count = options.slices, options.slices * len(windows)
    if slices < 1 or slices % 2 == 0 or file.channels != count:
        raise ModelError(
            f"{path.name} takes {file.channels} channels; {slices} slices in {len(windows)} windows are {count}. Say "
            "what they are with --slices (an odd number) and --windows LEVEL/WIDTH,LEVEL/WIDTH."
        )
    source: Any = file.build()
    features = int(getattr(source, "head_hidden_size", 0) or source.num_features)
    also = options.also.get("sequence")
    tensors = read_state_dict(also) if also else file.rest
    series = None
    if also or has_series(tensors):
        series = read_series(tensors, features=features, pooling=options.pooling, file=(also or path).name)
    elif options.pooling:
        raise ModelError(f"{path.name} holds no GRU or LSTM whose answers could be pooled; leave --pooling out.")
    if series is not None and file.outputs not in (0, series.outputs):
        raise ModelError(
            f"{path.name} gives {file.outputs} numbers a slice and what reads the series {series.outputs}; save the "
            "slice network without its last layer."
        )
    outputs = _outputs(path, series.outputs if series else file.outputs, options, task)
    mean, std = normalization(count, options)
    order = _order(slices, len(windows), window_first=options.window_first)
    labels = labels_of(task, outputs.names)
    own_slices = series is not None and (bool(series.arguments["slices"]) or not file.outputs)
    state = {f"encoder.network.{name}": value for name, value in file.state.items()}
    arguments: dict[str, Any] = {
        "backbone": file.name,
        "arguments": file.arguments,
        "layout": layout_of(source, torch.zeros(1, count, file.size, file.size)),
        "in_channels": count,
        "order": order,
        "mean": list(map(float, mean)),
        "std": list(map(float, std)),
        "outputs": series.outputs if series else file.outputs,
        "own": bool(file.outputs),
        "classes": list(outputs.classes),
        "softmax": outputs.exclusive,
    }
    if series is not None:
        arguments["sequence"] = series.arguments
        state |= {f"sequence.{name}": value for name, value in series.state().items()}
    ask = _Source(source, series, bool(file.outputs), order, (mean, std), outputs)
    generator = np.random.default_rng(21)
    scan = generator.normal(0, 1, (1, 7, features + 1)).astype(np.float32)
    scan[0, :, -1] = np.linspace(0, 1, 7)
    flat = frozenset(["slice", "study"] if outputs.exclusive else [])
    remarks = [*file.remarks, outputs.remark(arguments["outputs"])]
    remarks.append(series.remark if series else "Slices are read by themselves; the study is the highest of them.")
    if not options.mean:
        remarks.append("Each window is shown as 0..1; --mean and --std say otherwise.")
    return Converted(
        task=task.id,
        title=f"{file.name} on {slices} slices in {len(windows)} windows, imported (timm)",
        network=Network(name="slab_reader", arguments=arguments),
        state=state,
        form=f"state dict of timm's {file.name}" + (f" with a {series.arguments['kind'].upper()}" if series else ""),
        framework="timm and torch.nn",
        probes=(
            Probe(random_pictures(count, file.size, low=0, high=1), ask.encode, "encode", flat),
            Probe(scan, ask.context, "context", flat),
        ),
        preprocessing={
            "windows": [list(window) for window in windows],
            "neighbors": slices // 2,
            "size": file.size,
            "whole_above": usual.whole_above if file.size >= _MATRIX else 1,
            "longest": _ALL_SLICES,
            "slice_context": [float(own_slices)] * len(labels),
            "study_context": [float(series is not None)] * len(labels),
        },
        labels=labels,
        points=(
            OperatingPoint(level="slice", label=labels[0].name, threshold=0.5, chosen=HALF),
            *(OperatingPoint(level="study", label=label.name, threshold=0.5, chosen=HALF) for label in labels),
        ),
        image=(count, file.size, 0.0, 1.0),
        remarks=tuple(remarks),
        sources=(SOURCE,),
        model_form=SLABS,
    )


def _outputs(path: Path, count: int, options: Options, task: ModelTask) -> Outputs:
    """Return what the numbers are, that of the task's main label first."""
    known = (task.main_label,) if count == 1 else ()
    outputs = choose_outputs(path, count, options, task=task, known=known)
    spelled = {task.main_label, *task.label(task.main_label).spellings}
    at = next((number for number, name in enumerate(outputs.names) if name.lower() in spelled), None)
    if at is None:
        raise ModelError(
            f"{path.name} gives {', '.join(outputs.names)}; the detector's verdict needs one called {task.main_label}: "
            "name it so with --labels, or choose it with --channel."
        )
    numbers = [at, *(number for number in range(len(outputs.names)) if number != at)]
    names = (task.main_label, *(outputs.names[number] for number in numbers[1:]))
    return Outputs(tuple(outputs.classes[number] for number in numbers), names, outputs.exclusive)


def _order(slices: int, windows: int, *, window_first: bool) -> list[int]:
    """Return which channel of a slab, slice by slice, the network has at each place."""
    if not window_first:
        return list(range(slices * windows))
    return [number * windows + window for window in range(windows) for number in range(slices)]


class _Source:
    """timm's network and torch's own layers, asked as the package is."""

    def __init__(
        self,
        network: Any,
        series: SeriesFile | None,
        own: bool,
        order: list[int],
        scale: tuple[tuple[float, ...], tuple[float, ...]],
        outputs: Outputs,
    ) -> None:
        self.network, self.series, self.own, self.order, self.outputs = network, series, own, order, outputs
        self.mean, self.std = (np.reshape(values, (1, -1, 1, 1)) for values in scale)

    def encode(self, slabs: np.ndarray) -> Answers:
        shown = torch.from_numpy(((slabs[:, self.order] - self.mean) / self.std).astype(np.float32))
        with torch.inference_mode():
            features = self.network.forward_head(self.network.forward_features(shown), pre_logits=True)
            logits = self.network(shown) if self.own else self._single(features)
        return {
            "encoding": np.pad(features.numpy(), ((0, 0), (0, 1))),
            "slice": self.outputs.answers(logits.numpy()),
        }

    def context(self, encodings: np.ndarray) -> Answers:
        with torch.inference_mode():
            given = torch.from_numpy(encodings)
            slices, study = self.series.read(given) if self.series else (None, None)
            if slices is None:
                features = given[..., :-1].flatten(0, 1)
                alone = self.network.get_classifier()(features) if self.own else self._single(features)
                slices = alone.unflatten(0, given.shape[:2])
        in_turn = np.stack([self.outputs.answers(one) for one in slices.numpy()])
        return {"slice": in_turn, "study": in_turn.max(1) if study is None else self.outputs.answers(study.numpy())}

    def _single(self, features: torch.Tensor) -> torch.Tensor:
        """Return what the series' network says of slices, each as a series of one."""
        if self.series is None:
            raise ModelError("A slice network without a last layer answers nothing by itself.")
        slices, study = self.series.read(torch.nn.functional.pad(features, [0, 1])[:, None])
        return study if study is not None else slices[:, 0]  # type: ignore[index]
