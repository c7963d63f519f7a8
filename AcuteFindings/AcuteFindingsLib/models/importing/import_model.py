"""From a file that people have to a model package that is proven to answer as that file does."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.find import shipped_versions
from AcuteFindingsLib.models.importing.converted import Converted, Options
from AcuteFindingsLib.models.importing.densenet import convert_densenet
from AcuteFindingsLib.models.importing.keras_models import convert_backbone
from AcuteFindingsLib.models.importing.monai_bundle import convert_bundle
from AcuteFindingsLib.models.importing.programs import convert_program
from AcuteFindingsLib.models.importing.proof import Say, compare
from AcuteFindingsLib.models.importing.recognize import plain_id
from AcuteFindingsLib.models.importing.segmentation_models import convert_segmentation_model
from AcuteFindingsLib.models.importing.slab_models import convert_slabs, takes_slabs
from AcuteFindingsLib.models.importing.state_files import require_fit
from AcuteFindingsLib.models.importing.timm_models import convert_timm
from AcuteFindingsLib.models.metadata import Card, Origin, TrainingData
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.models.runtime.program import ProgramPredictor, load_programs, program_parts
from AcuteFindingsLib.models.task import PART, ModelTask
from AcuteFindingsLib.models.write import write_package
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if

Convert = Callable[[Path, Options], Converted]


def _convert_timm(path: Path, options: Options) -> Converted:
    task = options.tasks.get(options.task or "")
    return convert_slabs(path, options, task) if task and takes_slabs(task) else convert_timm(path, options)


_ARCHITECTURES: dict[str, tuple[Convert, str]] = {
    "inception-resnet-v2": (convert_backbone, "InceptionResNetV2 from Keras, one channel (NIH) or three (ImageNet)"),
    "densenet121": (convert_densenet, "DenseNet121 from torchvision, timm, TorchXRayVision or CheXNet"),
    "segmentation-model": (convert_segmentation_model, "a checkpoint of segmentation-models-pytorch"),
    "timm": (_convert_timm, "any classifier of timm, by its name, or a folder with its config.json"),
    "monai-bundle": (convert_bundle, "a MONAI bundle with one of MONAI's two-dimensional networks"),
    "torchscript": (partial(convert_program, kind="torchscript"), "a TorchScript file, used unchanged"),
    "onnx": (partial(convert_program, kind="onnx"), "an ONNX file, used unchanged"),
}

_NO_TERMS = (
    "The terms of these weights are not known to this package. Whoever imported them answers for using them and for "
    "passing them on; ask the authors of the source file."
)


@dataclass(frozen=True)
class Identity:
    """What the person who imports says of the model.

    Attributes
    ----------
    id, title
        Of the package; made of file and architecture where None.
    license, license_text
        Of the weights; unknown where nothing is said.
    trained_on
        What the weights were fitted to, in words.
    """

    id: str | None = None
    title: str | None = None
    license: str = "unknown"
    license_text: str = _NO_TERMS
    trained_on: str = "not known: the source file does not say"


def architectures() -> dict[str, str]:
    """Return the general forms of file that can be imported, by the name to give, with what they are."""
    return {name: told for name, (_, told) in _ARCHITECTURES.items()}


def import_model(
    path: Path | str,
    *,
    architecture: str,
    out: Path | str,
    options: Options | None = None,
    identity: Identity | None = None,
    prove: bool = True,
    say: Say | None = None,
    replace: bool = False,
    described: Callable[[Card], Card] | None = None,
    more: Mapping[str, Convert] = MappingProxyType({}),
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> ModelPackage:
    """Import a model: read it, hold it against its source, write a package.

    Nothing in the file is run, but for TorchScript and ONNX files, which are programs. Nothing is written unless the
    whole import succeeds.

    Parameters
    ----------
    path
        The file or folder to import.
    architecture
        One of `architectures`, or a name in `more`.
    out
        Folder of the new package.
    options
        What the file does not say of the model.
    identity
        What the package says of it.
    prove
        Ask the source framework the same question, where it is installed, and fail above `proof.TOLERANCE`.
    say
        Compares what the model's detector says of a phantom too, as `detectors.import_proof.detector_difference`.
    replace
        Put the new package in the place of an old one.
    described
        Changes what the card says before it is written, as a description of a public model does.
    more
        How further forms of file are read, by name.
    progress, cancelled
        Told what is being done and how far it is (0..1); asked whether to stop.

    Raises
    ------
    ModelError
        Says why the file was refused: it would run code, is truncated, is another network (up to three layers or
        shapes are named), or answers otherwise than its source.
    CancelledError
        When `cancelled` says so.
    """
    path, out = Path(path), Path(out)
    options, identity = options or Options(), identity or Identity()
    known = {**more, **{name: convert for name, (convert, _) in _ARCHITECTURES.items()}}
    if architecture in ("nnunet", "monai-bundle-3d"):
        raise ModelError(
            "A network for volumes is not a model package; name its folder to `acutefindings providers add FOLDER "
            f"--as {architecture}`."
        )
    if architecture not in known:
        raise ModelError(f"There is no architecture {architecture!r}; choose {', '.join(known)}.")
    if out.exists() and not replace:
        raise ModelError(f"{out} exists already; choose another folder or ask to replace it.")
    if not path.exists():
        raise ModelError(f"There is no file {path}; correct the path.")

    def at(text: str, fraction: float) -> None:
        stop_if(cancelled)
        progress(text, fraction)

    twice = sorted({name for name in options.labels if options.labels.count(name) > 1})
    if twice:
        raise ModelError(f"--labels names {twice[0]!r} twice; give each output a name of its own.")
    at(f"Reading {path.name}", 0.0)
    converted = known[architecture](path, options)
    at("Building the network", 0.2)
    card = _card(path, converted, identity, out)
    if card.id in shipped_versions():
        # Of one id the newest version is used: an import must not come in the place of what was measured.
        raise ModelError(f"A model with the id {card.id} came with AcuteFindings; give this one another, with --id.")
    predictor = _predictor(path, converted, card)
    if prove:
        at(f"Comparing with {converted.framework}", 0.35)
        origin = compare(converted, predictor, origin=card.origin or _origin(path, converted), say=say)
    else:
        origin = (card.origin or _origin(path, converted)).model_copy(update={"remark": "Skipped on request."})
    at("Writing the package", 0.8)
    card = card.model_copy(update={"origin": origin})
    package = _write(
        out,
        converted,
        described(card) if described is not None else card,
        identity,
        task=options.tasks.get(converted.task),
        replace=replace,
    )
    at("Done", 1.0)
    return package


def _predictor(path: Path, converted: Converted, card: Card) -> Predictor:
    if converted.state is None:
        parts = program_parts(converted.network, source=path.name)
        files = {name: converted.programs[part.file] for name, part in parts.items()}
        runs = load_programs(converted.network.name, files, device="cpu")
        return ProgramPredictor(card, "0", "", parts, runs)
    from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
    from AcuteFindingsLib.networks import build_stored_network

    network = build_stored_network(converted.network.name, converted.network.arguments)
    require_fit(converted.state, network, source=path.name, what=converted.form)
    network.load_state_dict(dict(converted.state))
    return TorchPredictor(network, card=card, version="0", sha256="", device="cpu")


def _card(path: Path, converted: Converted, identity: Identity, out: Path) -> Card:
    part = converted.task == PART
    return Card(
        id=_id(identity.id or plain_id(out.name)),
        task=converted.task,
        form=converted.model_form,
        title=identity.title or converted.title,
        network=converted.network,
        preprocessing=converted.preprocessing,
        labels=list(converted.labels),
        operating_points=list(converted.points),
        training_data=TrainingData(summary=identity.trained_on, phantoms_only=False, count="not known"),
        evaluation=[],
        license=identity.license,
        intended_use="A part to start training from; no detector uses it by itself. Not for patients."
        if part
        else "Research with a model that was trained elsewhere. Not for patients.",
        limitations=" ".join(
            (
                "What this model was trained and measured on is not known here, and its operating points are not its "
                "own: measure it on your own studies before you trust it.",
                *converted.remarks,
            )
        ),
        sources=list(converted.sources),
        origin=_origin(path, converted),
    )


def _id(text: str) -> str:
    try:
        return model_id(text)
    except ValueError as error:
        raise ModelError(f"{error}; choose one with --id.") from error


def _origin(path: Path, converted: Converted) -> Origin:
    return Origin(file=path.name, sha256=_sha256(path), form=converted.form)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()):
        with file.open("rb") as stream:
            while part := stream.read(1 << 22):
                digest.update(part)
    return digest.hexdigest()


def _write(
    out: Path, converted: Converted, card: Card, identity: Identity, *, task: ModelTask | None, replace: bool
) -> ModelPackage:
    channels, size, low, high = converted.image
    image: dict[str, Any] = {"num_channels": channels, "spatial_shape": [size, size], "value_range": [low, high]}
    if task is not None:
        image |= {"modality": task.modality, "format": "hounsfield" if task.modality == "CT" else "magnitude"}
    return write_package(
        out,
        state_dict=converted.state,
        programs=converted.programs,
        card=card,
        version="1.0.0",
        changelog={"1.0.0": f"imported from {card.origin.file if card.origin else 'a file'}"},
        description=f"{card.title}. {card.training_data.summary}. Research use only.",
        authors="the authors of the source file",
        copyright="The copyright of the weights is with their authors.",
        network_data_format={"inputs": {"image": image}},
        card_text="",
        license_text=identity.license_text,
        # The proof holds for these very numbers.
        half=False,
        replace=replace,
    )
