"""What a package's `configs/inference.json` names, so that MONAI's bundle tools give this library's own probabilities.

The pieces are those of a MONAI workflow: transforms that read and prepare a study, an inferer, an evaluator. Each calls
the function that the detector calls; nothing is approximated.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from AcuteFindingsLib.detectors.detector import analysis_sources
from AcuteFindingsLib.detectors.hemorrhage.detector import HeadImages, HemorrhageRule, HemorrhageSettings, head_images
from AcuteFindingsLib.detectors.pe.detector import ChestSlices, PEDetector, PESettings, chest_slices
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images, predict_flipped
from AcuteFindingsLib.detectors.registry import kind_of_task
from AcuteFindingsLib.detectors.rules import consecutive_score
from AcuteFindingsLib.errors import ModelError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.preprocessing.square import unfit_square
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

IMAGE_SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".jpg", ".jpeg")

_READ_AS = {"pe": "pe", "hemorrhage": "hemorrhage"}


@dataclass(frozen=True)
class BundleInput:
    """A study as the network is shown it.

    Attributes
    ----------
    image
        ``(n, channels, y, x)`` float32: all slices of a CT, or one radiograph.
    study
        Where it comes from.
    prepared
        The way back to the study's slices, for CT.
    """

    image: torch.Tensor
    study: Study
    prepared: HeadImages | ChestSlices | None = None


@dataclass(frozen=True)
class BundleScores:
    """What the model says of one study.

    Attributes
    ----------
    study
        Probability by label of the study as a whole; for CT the first one decides the verdict.
    slices
        Probability by label, one for each of `sources`: arrays ``(n,)``; empty for radiographs.
    masks
        Probability by label of each pixel at the network's size: ``(y, x)``; empty for CT.
    """

    study: dict[str, float]
    slices: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)


class ReadStudy:
    """Transform: a path becomes a `Study`, read as the detector of this task reads it."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, path: str) -> Study:
        """Read a DICOM file or folder, a volume file or a picture."""
        return read_study(path, requirements=kind_of_task(self.task).requirements, one_examination=True)


class PrepareStudy:
    """Transform: a `Study` becomes the network's images, with the numbers that the package's card states.

    Parameters
    ----------
    task
        Of the package.
    preprocessing
        `Card.preprocessing`.
    """

    def __init__(self, task: Task, preprocessing: Mapping[str, Any]) -> None:
        self.task, self.preprocessing = task, dict(preprocessing)

    def __call__(self, study: Study) -> BundleInput:
        """Window, crop, mask and resize as the detector does."""
        if self.task == "hemorrhage":
            head = head_images(study, HemorrhageSettings.model_validate(self.preprocessing))
            return BundleInput(torch.from_numpy(head.images[:, None]), study, head)
        if self.task == "pe":
            chest = chest_slices(study, PESettings.model_validate(self.preprocessing))
            return BundleInput(torch.from_numpy(chest.read(slice(0, len(chest.plan)))), study, chest)
        if study.intensity != "unit":
            raise StudyError(f"{study.source_name} is a CT; a radiograph is expected.")
        picture = study.array[len(study.array) // 2]
        settings = RadiographSettings.model_validate(self.preprocessing)
        return BundleInput(torch.from_numpy(network_images([picture], settings)), study)


class DetectorInferer:
    """Inferer: what `PrepareStudy` gave goes through the network as in the detector; called as MONAI's inferers are.

    Parameters
    ----------
    package
        Its card names the labels, thresholds and preprocessing.
    device
        Where the network runs.
    """

    def __init__(self, package: ModelPackage, device: torch.device | str) -> None:
        self.package, self.device = package, str(device)

    def __call__(self, inputs: BundleInput, network: torch.nn.Module) -> BundleScores:
        """Return the probabilities of one study.

        Raises
        ------
        ModelError
            When the network lacks what its task needs.
        """
        card = self.package.card
        predictor = TorchPredictor(
            network, card=card, version=self.package.version, sha256=self.package.sha256, device=self.device
        )
        score: Callable[[BundleInput, TorchPredictor], BundleScores] = {
            "hemorrhage": _score_head,
            "pe": _score_chest_ct,
        }.get(card.task, _score_radiograph)
        return score(inputs, predictor)


class StudyEvaluator:
    """Workflow engine: scores every study of a data set and writes ``probabilities.json``, and masks as PNG.

    Parameters
    ----------
    dataset
        A MONAI `Dataset` whose `data` are paths and whose items are `BundleInput`.
    network, inferer
        As built from the configuration.
    package
        Whose folder the results must stay out of.
    output_dir
        Folder for the results.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        network: torch.nn.Module,
        inferer: DetectorInferer,
        package: ModelPackage,
        output_dir: str,
    ) -> None:
        self.dataset, self.network, self.inferer, self.package = dataset, network, inferer, package
        self.output_dir = Path(output_dir)

    def run(self) -> dict[str, Any]:
        """Score, write and return what is written: by study its own probabilities and those of its slices.

        Raises
        ------
        ModelError
            When `output_dir` lies within the package, which would no longer verify.
        """
        if self.package.folder.resolve() in (self.output_dir.resolve(), *self.output_dir.resolve().parents):
            raise ModelError(
                f"The results cannot be written to {self.output_dir}, inside the model package; name another folder "
                "with --output_dir."
            )
        answers: dict[str, Any] = {}
        for number, path in enumerate(self.dataset.data):
            inputs: BundleInput = self.dataset[number]
            scores = self.inferer(inputs, self.network)
            answers[Path(path).name] = {"study": scores.study, "slices": _slice_entries(inputs, scores)}
            for label, soft in scores.masks.items():
                self._write_mask(f"{Path(path).name}-{label}.png", soft, inputs.study)
        text = json.dumps({"model": self.package.id, "version": self.package.version, "studies": answers}, indent=2)
        with replace_when_written(self.output_dir / "probabilities.json") as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        return answers

    def _write_mask(self, name: str, soft: np.ndarray, study: Study) -> None:
        from PIL import Image

        on_picture = np.clip(unfit_square(soft, study.array.shape[1:]), 0, 1)
        with replace_when_written(self.output_dir / "masks" / name) as partial:
            Image.fromarray(np.rint(255 * on_picture).astype(np.uint8)).save(partial)


def list_studies(folder: str, task: Task) -> list[str]:
    """List the studies of a folder: its subfolders and image files, by name.

    A folder of CT slices in DICOM is one study itself.

    Raises
    ------
    StudyError
        When there is no such folder, or nothing in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise StudyError(f"{folder} is no folder; name the one that holds the studies with --dataset_dir.")
    entries = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    images = [path for path in entries if path.is_file() and path.name.lower().endswith(IMAGE_SUFFIXES)]
    loose = [path for path in entries if path.is_file() and path not in images]
    slices = [path for path in images if path.name.lower().endswith((".dcm", ".dicom"))]
    if task in _READ_AS and (slices or loose) and not any(path.is_dir() for path in entries):
        return [str(root)]
    found = [path for path in entries if path.is_dir() or path in images]
    if not found:
        raise StudyError(f"{folder} holds no study: no subfolder, and no file ending in {', '.join(IMAGE_SUFFIXES)}.")
    return [str(path) for path in found]


def _score_head(inputs: BundleInput, predictor: TorchPredictor) -> BundleScores:
    assert isinstance(inputs.prepared, HeadImages)
    card = predictor.card
    size = HemorrhageSettings.model_validate(card.preprocessing).batch
    features = _in_batches(predictor, inputs.image.numpy(), size=size, part="features")
    probabilities = expit(predictor.predict(features[None], part="head")["slice"][0])
    names = [label.name for label in card.labels]
    # In the order of the images, inferior to superior, as the rule of consecutive slices wants them.
    minimum = HemorrhageRule.model_validate(card.rule).minimum_consecutive
    study = {
        name: consecutive_score(column, minimum=minimum) for name, column in zip(names, probabilities.T, strict=True)
    }
    by_source = inputs.prepared.by_source(probabilities)
    return BundleScores(study, dict(zip(names, by_source.T, strict=True)))


def _score_chest_ct(inputs: BundleInput, predictor: TorchPredictor) -> BundleScores:
    assert isinstance(inputs.prepared, ChestSlices)
    detector = PEDetector(predictor)
    encodings = _in_batches(
        predictor, inputs.image.numpy(), size=detector.settings.batch, part="encode", output="encoding"
    )
    answer = detector.sequence(encodings)
    exam = {label.name: float(value) for label, value in zip(detector.exam_labels, answer.exam, strict=False)}
    at_sources = inputs.prepared.at_sources(answer.slices[:, None])
    return BundleScores({"pe": answer.stack, **exam}, {"pe": at_sources[:, 0]})


def _score_radiograph(inputs: BundleInput, predictor: TorchPredictor) -> BundleScores:
    card = predictor.card
    settings = RadiographSettings.model_validate(card.preprocessing)
    outputs = predict_flipped(predictor, inputs.image.numpy(), settings)
    names = [label.name for label in card.labels]
    if card.task == "chest":
        values = np.concatenate([outputs[name][0] for name in ("pathologies", "tubes") if name in outputs])
        return BundleScores({name: float(value) for name, value in zip(names, values, strict=True)})
    if "mask" not in outputs:
        raise ModelError(f"The model {card.id!r} gives no mask, which the task {card.task!r} needs.")
    mask = outputs["mask"][0, 0]
    if card.task == "lungs":
        return BundleScores({}, masks={names[0]: mask})
    probability = 1 - outputs["empty"][0, 0] if "empty" in outputs else mask.max()
    return BundleScores({names[0]: float(probability)}, masks={names[0]: mask})


def _in_batches(
    predictor: TorchPredictor, images: np.ndarray, *, size: int, part: str, output: str | None = None
) -> np.ndarray:
    starts: Sequence[int] = range(0, len(images), size)
    return np.concatenate([predictor.predict(images[i : i + size], part=part)[output or part] for i in starts])


def _slice_entries(inputs: BundleInput, scores: BundleScores) -> list[dict[str, Any]]:
    if not isinstance(inputs.prepared, HeadImages | ChestSlices):
        return []
    sources = analysis_sources(inputs.study, inputs.prepared.axial)
    return [
        {
            "index": source.index,
            "sop_instance_uid": source.sop_instance_uid,
            "probabilities": {label: float(values[number]) for label, values in scores.slices.items()},
        }
        for number, source in enumerate(sources)
    ]
