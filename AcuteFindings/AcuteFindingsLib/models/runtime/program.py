"""Predictors of models that bring their own computation: TorchScript and ONNX files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import logsumexp

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.device import choose_device
from AcuteFindingsLib.models.files import METADATA
from AcuteFindingsLib.models.heat import explain_batch
from AcuteFindingsLib.models.metadata import Card, Network
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Explained
from AcuteFindingsLib.models.runtime.bounded import Run
from AcuteFindingsLib.models.runtime.occlusion import OCCLUSION, explain_by_covering
from AcuteFindingsLib.models.runtime.session import devices_of, notices_of
from AcuteFindingsLib.study.notice import Notice

PROGRAMS = {"torchscript": ".ts", "onnx": ".onnx"}
"""Networks that are files, by their name in the card, and how those files end."""

# Beside 0 and 1 a probability has no logit; 32-bit numbers tell no more apart.
_NEAREST = 1e-7
# How far beyond 0 and 1 a probability may lie for its rounding.
_ROUNDING = 1e-3


class ProgramPart(BaseModel):
    """One program of a package: its file, what it is shown, and what its outputs are.

    Attributes
    ----------
    outputs
        What they are called here, in order.
    probabilities
        Which of them are probabilities.
    softmax
        Which of them are logits of classes, along the second axis, that exclude each other.
    classes
        Of an output with several classes along the second axis: which of them are the answer.
    mean, std
        One number a channel where the program takes several: it is shown the gray picture in each, so normalized.
    single
        It is shown one picture at a time.
    """

    model_config = ConfigDict(extra="forbid")

    file: str
    outputs: list[str]
    probabilities: list[str] = []
    softmax: list[str] = []
    classes: dict[str, list[Annotated[int, Field(ge=0)]]] = {}
    mean: list[float] = []
    std: list[Annotated[float, Field(gt=0)]] = []
    single: bool = False

    def shown(self, batch: np.ndarray) -> np.ndarray:
        """Return a batch as the program takes it: gray pictures in all of its channels."""
        if not self.mean:
            return batch
        shape = (1, len(self.mean), 1, 1)
        return ((batch - np.reshape(self.mean, shape)) / np.reshape(self.std, shape)).astype(np.float32)

    def ask(self, run: Run, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the program gives for a batch, by its own names, in order."""
        shown = np.ascontiguousarray(self.shown(batch), dtype=np.float32)
        if not self.single:
            return run(shown)
        answers = [run(shown[number : number + 1]) for number in range(len(shown))]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def chosen(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return an output's classes that are the answer, each as a logit of itself and none of the others."""
        classes = self.classes.get(name, list(range(value.shape[1])))
        if max(classes, default=0) >= value.shape[1]:
            raise ModelError(f"The program gives {value.shape[1]} classes as {name}, fewer than its card says.")
        if name not in self.softmax:
            return value[:, classes]
        logits = value.astype(np.float64)
        answers = [logits[:, k] - logsumexp(np.delete(logits, k, axis=1), axis=1) for k in classes]
        return np.stack(answers, axis=1).astype(np.float32)


def program_parts(network: Network, *, source: str) -> dict[str, ProgramPart]:
    """Read what a card says of its programs: by part of the network, ``""`` for the whole.

    Raises
    ------
    ModelError
        When it is not said, or a file is of another kind or leads out of the package.
    """
    try:
        parts = {name: ProgramPart.model_validate(part) for name, part in network.arguments["parts"].items()}
    except (KeyError, AttributeError, ValidationError) as error:
        raise ModelError(
            f"{source}: field 'acutefindings.network.arguments.parts' does not name the programs: {error}"
        ) from error
    for part in parts.values():
        name = Path(part.file)
        if name.parts[:1] != ("models",) or len(name.parts) != 2 or name.suffix != PROGRAMS[network.name]:
            raise ModelError(f"{source}: {part.file!r} is not a file models/*{PROGRAMS[network.name]} of the package.")
    return parts


def is_program(network: Network) -> bool:
    """Whether a card's network is a file that runs by itself."""
    return network.name in PROGRAMS


@dataclass
class ProgramPredictor:
    """The `Predictor` of a package of programs.

    Attributes
    ----------
    card, version, sha256, runtime, device, notices, explanation
        As of every predictor.
    parts
        What each program is called and gives.
    runs
        The programs, ready to run, by part.
    """

    card: Card
    version: str
    sha256: str
    parts: Mapping[str, ProgramPart]
    runs: Mapping[str, Run]
    explanation: str = OCCLUSION
    one_pass: bool = False

    @property
    def runtime(self) -> str:
        """Return what computes it; all its programs are of one kind."""
        return next(iter(self.runs.values())).runtime

    @property
    def device(self) -> str:
        """Return where its programs compute now."""
        return devices_of(self.runs.values())

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return what is to be said of that."""
        return notices_of(self.runs.values())

    def predict(self, batch: np.ndarray, *, part: str = "") -> dict[str, np.ndarray]:
        """Run a program on one batch; see `Predictor.predict`. Probabilities are given back as logits.

        Raises
        ------
        ModelError
            When there is no such part, it does not take a batch of this shape, or gives other outputs than stated.
        """
        if part not in self.runs:
            raise ModelError(f"The model {self.card.id!r} has no part {part!r}; it has {sorted(self.runs)}.")
        stated = self.parts[part]
        names, flat = stated.outputs, stated.probabilities
        values = stated.ask(self.runs[part], batch).values()
        if len(values) < len(names):
            raise ModelError(f"The model {self.card.id!r} gives {len(values)} outputs; its card names {len(names)}.")
        outputs = {}
        for name, value in zip(names, values, strict=False):
            value = np.asarray(value, dtype=np.float32)
            require_answer(name, value, batch, source=f"The model {self.card.id!r}")
            if name in flat:
                if value.min() < -_ROUNDING or value.max() > 1 + _ROUNDING:
                    raise ModelError(
                        f"The model {self.card.id!r} gives {name} beyond 0 to 1, though its card calls it a "
                        "probability; import it again with --logits."
                    )
                value = np.clip(value, _NEAREST, 1 - _NEAREST)
                value = np.log(value) - np.log1p(-value)
            outputs[name] = stated.chosen(name, value) if name in stated.classes or name in stated.softmax else value
        return outputs

    def predict_explained(
        self, batch: np.ndarray, *, outputs: Sequence[str], part: str = "", then: str = ""
    ) -> Explained:
        """Cover square after square; see `occlusion.explain_by_covering`."""
        return explain_by_covering(self, batch, outputs=outputs, part=part, then=then)

    def explain(self, batch: np.ndarray, *, output: str, index: int, part: str = "", then: str = "") -> np.ndarray:
        """Return how much of an item's probability goes where; see `models.heat.explain_batch`."""
        return explain_batch(self, batch, output=output, index=index, part=part, then=then)


def require_answer(name: str, value: np.ndarray, batch: np.ndarray, *, source: str) -> None:
    """Refuse an answer that is no number, not one for each picture, or a mask of another size than the pictures.

    Raises
    ------
    ModelError
        Names `source` and the output.
    """
    if value.ndim < 2 or len(value) != len(batch) or not value.size:
        raise ModelError(
            f"{source} gives {name} of shape {value.shape} for {len(batch)} pictures; one row for each is expected."
        )
    if name == "mask" and batch.ndim == 4 and value.shape[-2:] != batch.shape[-2:]:
        raise ModelError(
            f"{source} gives a mask of {value.shape[-2:]} pixels for pictures of {batch.shape[-2:]}; export it so that "
            "the mask has the size of the picture."
        )
    if not np.isfinite(value).all():
        raise ModelError(f"{source} answers with values that are not numbers (NaN or infinite); it is damaged.")


def load_program_predictor(package: ModelPackage, *, device: str = "auto") -> ProgramPredictor:
    """Verify a package of programs and make them ready to run.

    Raises
    ------
    ModelError
        Whatever is wrong with the package, or the device is not there.
    """
    package.verify_once()
    card = package.card
    parts = program_parts(card.network, source=str(package.folder / METADATA))
    missing = [part.file for part in parts.values() if part.file not in package.checksums]
    if missing:
        raise ModelError(f"{package.folder / missing[0]} is named by the card but not in the model package.")
    runs = load_programs(
        card.network.name, {name: package.folder / part.file for name, part in parts.items()}, device=device
    )
    return ProgramPredictor(card, package.version, package.sha256, parts, runs)


def load_programs(kind: str, files: Mapping[str, Path], *, device: str) -> dict[str, Run]:
    """Make programs of one kind ready, each by its part.

    Raises
    ------
    ModelError
        When a file is no such program or the device is not there.
    """
    if kind == "onnx":
        from AcuteFindingsLib.models.runtime.onnx import load_onnx

        return {part: load_onnx(file, device=device) for part, file in files.items()}
    from AcuteFindingsLib.models.runtime.torchscript import load_torchscript

    chosen = choose_device(device)
    return {part: load_torchscript(file, device=chosen) for part, file in files.items()}
