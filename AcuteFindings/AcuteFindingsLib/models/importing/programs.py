"""TorchScript and ONNX files as they are: the package holds the file, and its card says what goes in and comes out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import (
    Answers,
    Converted,
    Options,
    Probe,
    half_points,
    normalized,
    random_pictures,
)
from AcuteFindingsLib.models.importing.findings import XRV_LABELS
from AcuteFindingsLib.models.importing.heads import is_exclusive
from AcuteFindingsLib.models.importing.segmentation_models import LABELS, segmenter_points
from AcuteFindingsLib.models.metadata import Label, Network, OperatingPoint, Task
from AcuteFindingsLib.models.runtime.onnx import load_onnx
from AcuteFindingsLib.models.runtime.onnx_check import answers_with_probabilities
from AcuteFindingsLib.models.runtime.program import PROGRAMS, ProgramPart, require_answer
from AcuteFindingsLib.models.runtime.torchscript import load_torchscript

# What the detector of each task asks: outputs by part, the first ones needed, the others taken where they are there.
_ASKED: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "pe": {"encode": (("encoding", "slice"), ("mask",)), "sequence": (("slice", "stack"), ("exam",))},
    "hemorrhage": {"features": (("features", "mask"), ()), "head": (("slice",), ())},
    "pneumothorax": {"": (("mask",), ("empty",))},
    "lungs": {"": (("mask",), ())},
    "chest": {"": (("pathologies",), ("tubes",))},
}
_SIZES = {"pe": 386, "hemorrhage": 250, "pneumothorax": 512, "lungs": 256, "chest": 224}
_LABELS = {**LABELS, "pe": Label(name="pe", meaning="Pulmonary embolism", code="59282003")}
_RADNET_LABELS = ("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")


def convert_program(path: Path, options: Options, *, kind: str) -> Converted:
    """Take a TorchScript or ONNX file for one of the detectors' tasks.

    Parameters
    ----------
    path
        The file; where a task has two parts, the first (``encode``, ``features``).
    options
        `task` must be said; the second part's file is in `also`.
    kind
        ``"torchscript"`` or ``"onnx"``.

    Raises
    ------
    ModelError
        When a file is damaged or missing, or its outputs are not those that the detector asks for.
    """
    if options.task not in _ASKED:
        raise ModelError(f"{path.name} does not say what it is for: choose --task {', '.join(_ASKED)}.")
    task: Task = options.task
    asked = _ASKED[task]
    first, *others = asked
    missing = [part for part in others if part not in options.also]
    if missing:
        raise ModelError(
            f"{path.name} is one part of a model for {task}; name the file of the other with --also {missing[0]}=FILE."
        )
    files = {first: path, **{part: options.also[part] for part in others}}
    size = options.size or _SIZES[task]
    channels = 1
    pictures = random_pictures(channels, size, low=-1 if task == "pe" else 0, high=1)
    radiograph = task not in ("pe", "hemorrhage")
    mean, std = (options.mean or (0.0,))[:1], (options.std or (1.0,))[:1]
    batches: dict[str, np.ndarray] = {first: normalized(pictures, mean, std) if radiograph else pictures}
    parts: dict[str, ProgramPart] = {}
    probes = []
    outputs: dict[str, np.ndarray] = {}
    for part, file in files.items():
        if not file.is_file():
            raise ModelError(f"There is no file {file}; correct the path.")
        batch = batches[part] if part in batches else _second_batch(task, outputs)
        name = f"models/{part if part != first else 'model'}{PROGRAMS[kind]}"
        run = (load_onnx if kind == "onnx" else load_torchscript)(file, device="cpu")
        answers = run(batch)
        given = list(answers)
        names = _names(file, given, asked[part], options.outputs.get(part, ()))
        outputs = dict(zip(names, answers.values(), strict=True))
        for output in (*asked[part][0], *asked[part][1]):
            if output in outputs:
                require_answer(output, np.asarray(outputs[output]), batch, source=file.name)
        flat = _probabilities(file, kind, dict(zip(names, given, strict=True)), outputs, options)
        _require_one_class(file, outputs, flat, options)
        parts[part] = ProgramPart(file=name, outputs=names, probabilities=flat)
        shown = partial(normalized, mean=mean, std=std) if radiograph else np.asarray
        probes.append(
            Probe(batch, _asker(run, names, shown), part, frozenset(flat), pictures=pictures if radiograph else None)
        )
    labels = _labels(task, outputs, options)
    return Converted(
        task=task,
        title=f"{kind} model for {task}, imported as it is",
        network=Network(name=kind, arguments={"parts": {part: value.model_dump() for part, value in parts.items()}}),
        programs={value.file: files[part] for part, value in parts.items()},
        form={"onnx": "ONNX", "torchscript": "TorchScript"}[kind],
        framework={"onnx": "ONNX Runtime", "torchscript": "PyTorch"}[kind],
        probes=tuple(probes),
        preprocessing=_preprocessing(task, size, outputs, options),
        labels=labels,
        points=_points(task, labels),
        image=(channels, size, -1.0 if task == "pe" else 0.0, 1.0),
        remarks=("A TorchScript file is a program: run only those that you trust.",) if kind == "torchscript" else (),
    )


def _asker(run: Any, names: list[str], shown: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Answers]:
    def ask(question: np.ndarray) -> Answers:
        return dict(zip(names, run(shown(question)).values(), strict=True))

    return ask


def _probabilities(
    file: Path, kind: str, theirs: dict[str, str], outputs: dict[str, np.ndarray], options: Options
) -> list[str]:
    """Return which outputs are probabilities: as told, else as the file shows.

    Raises
    ------
    ModelError
        It is told wrongly, or neither told nor to be seen.
    """
    answers = {
        name: value for name, value in outputs.items() if name in theirs and name not in ("encoding", "features")
    }
    within = {name for name, value in answers.items() if value.size and value.min() >= 0 and value.max() <= 1}
    if options.probabilities:
        outside = sorted(set(answers) - within)
        if outside:
            raise ModelError(
                f"{file.name} gives {outside[0]} beyond 0 to 1, so it is no probability; leave --probabilities out."
            )
        return list(answers)
    shown = answers_with_probabilities(file) if kind == "onnx" else {}
    if options.probabilities is False:
        twice = [name for name in answers if shown.get(theirs[name])]
        if twice:
            raise ModelError(
                f"{file.name} ends {twice[0]} with a sigmoid or softmax, so it is a probability; leave --logits out."
            )
        return []
    if kind == "onnx":
        return [name for name in answers if shown.get(theirs[name]) and name in within]
    if within:
        raise ModelError(
            f"{file.name} gives {sorted(within)[0]} within 0 to 1, which may be probabilities: say --probabilities "
            "if they are, --logits if a sigmoid follows."
        )
    return []


def _require_one_class(file: Path, outputs: dict[str, np.ndarray], flat: list[str], options: Options) -> None:
    """Refuse what the detector would read as another answer: a mask of several classes, a softmax that is to come."""
    mask = outputs.get("mask")
    if mask is not None and (mask.ndim != 4 or mask.shape[1] != 1):
        raise ModelError(
            f"{file.name} draws a mask of shape {mask.shape}; one class, (n, 1, rows, columns), is expected. Export it "
            "with its softmax and the channel of the finding alone."
        )
    logits = "pathologies" in outputs and "pathologies" not in flat and len(options.labels) > 1
    if logits and is_exclusive(file, options.labels, options.head):
        raise ModelError(
            f"{file.name} gives logits of labels that exclude each other ({', '.join(options.labels)}); export it "
            "with its softmax, so that it answers with probabilities."
        )


def _second_batch(task: str, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Make the second part's input of the first one's output: a whole stack."""
    length, numbers = (96, outputs["encoding"].shape[1]) if task == "pe" else (12, outputs["features"].shape[1])
    return np.random.default_rng(22).normal(0, 1, (2, length, numbers)).astype(np.float32)


def _names(
    file: Path, given: list[str], asked: tuple[tuple[str, ...], tuple[str, ...]], stated: tuple[str, ...]
) -> list[str]:
    needed, welcome = asked
    known = {*needed, *welcome}
    if not stated:
        if len(given) == 1 and given[0] not in known and len(needed) == 1:
            return [needed[0]]
        stated = tuple(given)
    if len(stated) != len(given) or not set(needed) <= set(stated):
        raise ModelError(
            f"{file.name} gives {len(given)} outputs ({', '.join(given)}); the detector asks for {', '.join(needed)}. "
            "Name them in order with --outputs a,b,c; a name of your own leaves an output out."
        )
    return list(stated)


def _labels(task: str, outputs: dict[str, np.ndarray], options: Options) -> tuple[Label, ...]:
    if task in _LABELS and not options.labels:
        return (_LABELS[task],)
    count = sum(outputs[name].shape[-1] for name in ("pathologies", "tubes", "slice") if name in outputs)
    plain = _RADNET_LABELS if task == "hemorrhage" else XRV_LABELS
    names = options.labels or (plain if count == len(plain) else ())
    if task in ("chest", "hemorrhage") and len(names) != count:
        raise ModelError(
            f"The model gives {count} numbers, and {len(names)} names are known; name them with --labels a,b,c."
        )
    return tuple(Label(name=name, meaning=name.replace("_", " ").capitalize()) for name in names)


def _points(task: str, labels: tuple[Label, ...]) -> tuple[OperatingPoint, ...]:
    if task in ("pneumothorax", "lungs"):
        return segmenter_points(task)
    if task == "pe":
        return half_points(("study", "pe"), ("slice", "pe"))
    if task == "hemorrhage":
        return half_points(("slice", labels[0].name), ("mask", labels[0].name))
    return half_points(*(("study", label.name) for label in labels))


def _preprocessing(task: str, size: int, outputs: dict[str, np.ndarray], options: Options) -> dict[str, Any]:
    if task == "pe":
        return {"size": size, "channels": 1, "window": outputs["slice"].shape[1], "batch": 8}
    if task == "hemorrhage":
        return {"size": size, "batch": 8}
    mean, std = options.mean or (0.0,), options.std or (1.0,)
    return {"size": size, "mean": mean[0], "std": std[0], "flip": False, "equalise": False}
