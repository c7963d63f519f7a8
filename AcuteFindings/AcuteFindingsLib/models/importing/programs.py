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
    random_pictures,
    softmax,
    task_of,
)
from AcuteFindingsLib.models.importing.heads import Outputs, choose_outputs
from AcuteFindingsLib.models.importing.program_inputs import REPEATED, input_form
from AcuteFindingsLib.models.metadata import Label, Network
from AcuteFindingsLib.models.runtime.bounded import Run
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
    low, high = form.value_range
    pictures = random_pictures(1, size, low=low, high=high)
    mean, std = (options.mean or (0.0,))[:1], (options.std or (1.0,))[:1]
    shown = partial(normalized, mean=mean, std=std) if form.normalized else np.asarray
    parts: dict[str, ProgramPart] = {}
    probes, remarks = [], []
    outputs: dict[str, np.ndarray] = {}
    found: Outputs | None = None
    for part, file in files.items():
        if not file.is_file():
            raise ModelError(f"There is no file {file}; correct the path.")
        run = (load_onnx if kind == "onnx" else load_torchscript)(file, device="cpu")
        stated = ProgramPart(file=f"models/{part if part != first else 'model'}{PROGRAMS[kind]}", outputs=[])
        batch = pictures
        if part != first:
            batch = _second_batch(asked[part], outputs)
        else:
            stated = input_form(run, file, stated, pictures, shown, options, gray_only=not form.normalized)
            remarks += [REPEATED] if stated.mean else []
            # A program of several channels normalizes the gray picture itself.
            mean, std, shown = ((0.0,), (1.0,), np.asarray) if stated.mean else (mean, std, shown)
            batch = shown(pictures)
        answers = stated.ask(run, batch)
        given = list(answers)
        names = _names(file, given, asked[part], options.outputs.get(part, ()))
        outputs = dict(zip(names, answers.values(), strict=True))
        for output in (*asked[part].needed, *asked[part].optional):
            if output in outputs:
                require_answer(output, np.asarray(outputs[output]), batch, source=file.name)
        read = {asked[other].reads for other in others}
        flat = _probabilities(file, kind, dict(zip(names, given, strict=True)), outputs, options, numbers=read)
        found = _classes(file, kind, task, outputs, options) or found
        stated = stated.model_copy(update={"outputs": names, "probabilities": flat})
        if found is not None:
            stated = _with_classes(stated, found, next(name for name in _CLASSED if name in outputs))
            remarks += [found.remark(outputs[name].shape[1]) for name in stated.classes]
        parts[part] = stated
        probes.append(
            Probe(
                batch,
                _asker(run, stated, shown if part == first else np.asarray),
                part,
                frozenset([*flat, *stated.softmax]),
                pictures=pictures if form.normalized and part == first else None,
            )
        )
    labels = labels_of(task, found.names) if found is not None else _labels(task, kind, outputs, options)
    if kind == "torchscript":
        remarks.append("A TorchScript file is a program: run only those that you trust.")
    return Converted(
        task=task.id,
        title=f"{kind} model for {task.id}, imported unchanged",
        network=Network(name=kind, arguments={"parts": {part: value.model_dump() for part, value in parts.items()}}),
        programs={value.file: files[part] for part, value in parts.items()},
        form={"onnx": "ONNX", "torchscript": "TorchScript"}[kind],
        framework={"onnx": "ONNX Runtime", "torchscript": "PyTorch"}[kind],
        probes=tuple(probes),
        preprocessing=_preprocessing(form, size, outputs, (mean[0], std[0])),
        labels=labels,
        points=points_of(task, labels),
        image=(1, size, low, high),
        remarks=tuple(remarks),
    )


def _asker(run: Run, stated: ProgramPart, shown: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Answers]:
    def ask(question: np.ndarray) -> Answers:
        answers = dict(zip(stated.outputs, stated.ask(run, shown(question)).values(), strict=True))
        for name, classes in stated.classes.items():
            answers[name] = (softmax(answers[name]) if name in stated.softmax else answers[name])[:, classes]
        return answers

    return ask


# Outputs of one number, or map, a class, along the second axis.
_CLASSED = ("mask", "pathologies")


def _classes(
    file: Path, kind: str, task: ModelTask, outputs: dict[str, np.ndarray], options: Options
) -> Outputs | None:
    """Return which classes of a part's mask or findings are the answer; None where there is nothing to choose.

    Raises
    ------
    ModelError
        It must be said which one, or how they are read; or the mask is no picture a class.
    """
    mask = outputs.get("mask")
    if mask is not None:
        if mask.ndim != 4:
            raise ModelError(
                f"{file.name} draws a mask of shape {mask.shape}; (n, classes, rows, columns) is expected."
            )
        count = mask.shape[1]
        if count > 1 and options.channel is None:
            raise ModelError(f"{file.name} draws {count} classes; say which is meant with --channel 0 to {count - 1}.")
        if not 0 <= (options.channel or 0) < count:
            raise ModelError(f"{file.name} draws {count} classes; there is none of number {options.channel}.")
        # Masks of several classes are trained with softmax as a rule.
        named = tuple(options.labels or (task.main_label,))
        return Outputs((options.channel or 0,), named, options.head != "sigmoid") if count > 1 else None
    findings = outputs.get("pathologies")
    if findings is None or findings.ndim != 2 or "tubes" in outputs:
        return None
    sets = form_of(task).label_sets.get(kind, ())
    known = next((names for names in sets if len(names) == findings.shape[1]), ())
    return choose_outputs(file, findings.shape[1], options, task=task, known=known)


def _with_classes(stated: ProgramPart, found: Outputs, name: str) -> ProgramPart:
    softmax = [name] if found.exclusive and name not in stated.probabilities else []
    return stated.model_copy(update={"classes": {name: list(found.classes)}, "softmax": softmax})


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


def _preprocessing(
    form: ProgramForm, size: int, outputs: dict[str, np.ndarray], normalization: tuple[float, float]
) -> dict[str, Any]:
    if not form.normalized:
        length = {form.length_setting: outputs["slice"].shape[1]} if form.length_setting else {}
        return {"size": size, **form.settings, **length}
    mean, std = normalization
    return {"size": size, "mean": mean, "std": std, "flip": False, "equalise": False}
