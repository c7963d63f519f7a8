"""What a package's `configs/inference.json` names, so that MONAI's bundle tools give this library's own probabilities.

The pieces are those of a MONAI workflow: transforms that read and prepare a study, an inferer, an evaluator. Each calls
the function that the detector calls; nothing is approximated.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AcuteFindingsLib.detectors.radiograph import unfit_shown
from AcuteFindingsLib.detectors.registry import find_task, kind_of_task
from AcuteFindingsLib.detectors.scoring import Prepared
from AcuteFindingsLib.errors import ModelError, StudyError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.study import Study

IMAGE_SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".jpg", ".jpeg")


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
        The way back to the study's slices, or to the picture.
    """

    image: torch.Tensor
    study: Study
    prepared: Prepared


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
    preprocessing, form
        `Card.preprocessing` and `Card.form`.
    """

    def __init__(self, task: Task, preprocessing: Mapping[str, Any], form: str = "") -> None:
        self.task, self.preprocessing, self.form = task, dict(preprocessing), form

    def __call__(self, study: Study) -> BundleInput:
        """Window, crop, mask and resize as the detector does."""
        task = find_task(self.task)
        settings = task.load_settings(self.form).model_validate(self.preprocessing)
        prepared = task.load_scorer(self.form).images_of(study, settings)
        return BundleInput(torch.from_numpy(prepared[:]), study, prepared)


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
        scorer = find_task(card.task).load_scorer(card.form)(predictor)
        answer = scorer.infer(inputs.image.numpy())
        at_sources = inputs.prepared.at_sources(answer.images)
        if len(at_sources):
            return BundleScores(answer.study, dict(zip(scorer.labels, at_sources.T, strict=True)))
        study = {name: float(value) for name, value in zip(scorer.labels, answer.images[0], strict=True)}
        return BundleScores(study, masks={} if answer.soft is None else {card.labels[0].name: answer.soft[0]})


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
                self._write_mask(
                    f"{Path(path).name}-{label}.png",
                    unfit_shown(soft, inputs.study.array.shape[1:], inputs.prepared.shown(0)),
                )
        text = json.dumps({"model": self.package.id, "version": self.package.version, "studies": answers}, indent=2)
        with replace_when_written(self.output_dir / "probabilities.json") as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        return answers

    def _write_mask(self, name: str, soft: np.ndarray) -> None:
        from PIL import Image

        with replace_when_written(self.output_dir / "masks" / name) as partial:
            Image.fromarray(np.rint(255 * np.clip(soft, 0, 1)).astype(np.uint8)).save(partial)


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
        raise StudyError(f"{folder} is not a folder; name the one that holds the studies with --dataset_dir.")
    entries = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    images = [path for path in entries if path.is_file() and path.name.lower().endswith(IMAGE_SUFFIXES)]
    loose = [path for path in entries if path.is_file() and path not in images]
    slices = [path for path in images if path.name.lower().endswith((".dcm", ".dicom"))]
    if not kind_of_task(task).reads_radiographs and (slices or loose) and not any(path.is_dir() for path in entries):
        return [str(root)]
    found = [path for path in entries if path.is_dir() or path in images]
    if not found:
        raise StudyError(f"{folder} holds no study: no subfolder, and no file ending in {', '.join(IMAGE_SUFFIXES)}.")
    return [str(path) for path in found]


def _slice_entries(inputs: BundleInput, scores: BundleScores) -> list[dict[str, Any]]:
    return [
        {
            "index": source.index,
            "sop_instance_uid": source.sop_instance_uid,
            "probabilities": {label: float(values[number]) for label, values in scores.slices.items()},
        }
        for number, source in enumerate(inputs.prepared.sources)
    ]
