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
    form_of,
    labels_of,
    normalized,
    points_of,
    public_names,
    random_pictures,
    task_of,
)
from AcuteFindingsLib.models.importing.heads import is_exclusive
from AcuteFindingsLib.models.metadata import Label, Network
from AcuteFindingsLib.models.runtime.onnx import load_onnx
from AcuteFindingsLib.models.runtime.onnx_check import answers_with_probabilities
from AcuteFindingsLib.models.runtime.program import PROGRAMS, ProgramPart, require_answer
from AcuteFindingsLib.models.runtime.torchscript import load_torchscript
from AcuteFindingsLib.models.task import ModelTask, ProgramForm, ProgramOutputs


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
    task = task_of(options, kind, lambda _form: True, file=path.name)
    form = form_of(task)
    asked = form.parts
    first, *others = asked
    missing = [part for part in others if part not in options.also]
    if missing:
        raise ModelError(
            f"{path.name} is one part of a model for {task.id}; name the file of the other with "
            f"--also {missing[0]}=FILE."
        )
    files = {first: path, **{part: options.also[part] for part in others}}
    size = options.size or form.size
    channels = 1
    low, high = form.value_range
    pictures = random_pictures(channels, size, low=low, high=high)
    mean, std = (options.mean or (0.0,))[:1], (options.std or (1.0,))[:1]
    batches: dict[str, np.ndarray] = {first: normalized(pictures, mean, std) if form.normalized else pictures}
    parts: dict[str, ProgramPart] = {}
    probes = []
    outputs: dict[str, np.ndarray] = {}
    for part, file in files.items():
        if not file.is_file():
            raise ModelError(f"There is no file {file}; correct the path.")
        batch = batches[part] if part in batches else _second_batch(asked[part], outputs)
        name = f"models/{part if part != first else 'model'}{PROGRAMS[kind]}"
        run = (load_onnx if kind == "onnx" else load_torchscript)(file, device="cpu")
        answers = run(batch)
        given = list(answers)
        names = _names(file, given, asked[part], options.outputs.get(part, ()))
        outputs = dict(zip(names, answers.values(), strict=True))
        for output in (*asked[part].needed, *asked[part].optional):
            if output in outputs:
                require_answer(output, np.asarray(outputs[output]), batch, source=file.name)
        read = {asked[other].reads for other in others}
        flat = _probabilities(file, kind, dict(zip(names, given, strict=True)), outputs, options, numbers=read)
        _require_one_class(file, form, outputs, flat, options)
        parts[part] = ProgramPart(file=name, outputs=names, probabilities=flat)
        shown = partial(normalized, mean=mean, std=std) if form.normalized else np.asarray
        probes.append(
            Probe(
                batch, _asker(run, names, shown), part, frozenset(flat), pictures=pictures if form.normalized else None
            )
        )
    labels = _labels(task, kind, outputs, options)
    return Converted(
        task=task.id,
        title=f"{kind} model for {task.id}, imported unchanged",
        network=Network(name=kind, arguments={"parts": {part: value.model_dump() for part, value in parts.items()}}),
        programs={value.file: files[part] for part, value in parts.items()},
        form={"onnx": "ONNX", "torchscript": "TorchScript"}[kind],
        framework={"onnx": "ONNX Runtime", "torchscript": "PyTorch"}[kind],
        probes=tuple(probes),
        preprocessing=_preprocessing(form, size, outputs, options),
        labels=labels,
        points=points_of(task, labels),
        image=(channels, size, low, high),
        remarks=("A TorchScript file is a program: run only those that you trust.",) if kind == "torchscript" else (),
    )


def _asker(run: Any, names: list[str], shown: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Answers]:
    def ask(question: np.ndarray) -> Answers:
        return dict(zip(names, run(shown(question)).values(), strict=True))

    return ask


def _probabilities(
    file: Path,
    kind: str,
    theirs: dict[str, str],
    outputs: dict[str, np.ndarray],
    options: Options,
    *,
    numbers: set[str],
) -> list[str]:
    """Return which outputs are probabilities: as told, else as the file shows; `numbers` are what the next part reads.

    Raises
    ------
    ModelError
        It is told wrongly, or neither told nor to be seen.
    """
    answers = {name: value for name, value in outputs.items() if name in theirs and name not in numbers}
    within = {name for name, value in answers.items() if value.size and value.min() >= 0 and value.max() <= 1}
    if options.probabilities:
        outside = sorted(set(answers) - within)
        if outside:
            raise ModelError(
                f"{file.name} gives {outside[0]} beyond 0 to 1, so it is not a probability; leave --probabilities out."
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


def _require_one_class(
    file: Path, form: ProgramForm, outputs: dict[str, np.ndarray], flat: list[str], options: Options
) -> None:
    """Refuse what the detector would read as another answer: a mask of several classes, a softmax that is to come."""
    mask = outputs.get("mask")
    if mask is not None and (mask.ndim != 4 or mask.shape[1] != 1):
        raise ModelError(
            f"{file.name} draws a mask of shape {mask.shape}; one class, (n, 1, rows, columns), is expected. Export it "
            "with its softmax and the channel of the finding alone."
        )
    logits = "pathologies" in outputs and "pathologies" not in flat and len(options.labels) > 1
    if logits and is_exclusive(file, options.labels, options.head, findings=public_names(form)):
        raise ModelError(
            f"{file.name} gives logits of labels that exclude each other ({', '.join(options.labels)}); export it "
            "with its softmax, so that it answers with probabilities."
        )


def _second_batch(asked: ProgramOutputs, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Make the second part's input of the first one's output: a whole stack."""
    shape = (2, asked.length, outputs[asked.reads].shape[1])
    return np.random.default_rng(22).normal(0, 1, shape).astype(np.float32)


def _names(file: Path, given: list[str], asked: ProgramOutputs, stated: tuple[str, ...]) -> list[str]:
    needed = asked.needed
    known = {*needed, *asked.optional}
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


def _labels(task: ModelTask, kind: str, outputs: dict[str, np.ndarray], options: Options) -> tuple[Label, ...]:
    form = form_of(task)
    if form.single_label:
        return labels_of(task, options.labels or (task.main_label,))
    count = sum(outputs[name].shape[-1] for name in form.labeled_outputs if name in outputs)
    public = next((names for names in form.label_sets.get(kind, ()) if len(names) == count), ())
    names = options.labels or public
    if len(names) != count:
        raise ModelError(
            f"The model gives {count} numbers, and {len(names)} names are known; name them with --labels a,b,c."
        )
    return labels_of(task, names)


def _preprocessing(form: ProgramForm, size: int, outputs: dict[str, np.ndarray], options: Options) -> dict[str, Any]:
    if not form.normalized:
        length = {form.length_setting: outputs["slice"].shape[1]} if form.length_setting else {}
        return {"size": size, **form.settings, **length}
    mean, std = options.mean or (0.0,), options.std or (1.0,)
    return {"size": size, "mean": mean[0], "std": std[0], "flip": False, "equalise": False}
