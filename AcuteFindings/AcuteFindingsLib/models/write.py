"""Writing a model package so that a folder is either a whole package or not there."""

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import sweep_abandoned
from AcuteFindingsLib.models.bundle_config import SCHEMA, complete_data_format, inference_config
from AcuteFindingsLib.models.card_text import render_card, with_runtime
from AcuteFindingsLib.models.download.catalogue import CATALOGUE
from AcuteFindingsLib.models.download.mirror import refresh_catalogue
from AcuteFindingsLib.models.files import CARD_TEXT, CHECKSUMS, INFERENCE, LICENSE, METADATA, WEIGHTS, file_sha256
from AcuteFindingsLib.models.graphs.check import FOLDER
from AcuteFindingsLib.models.metadata import Card, Metadata
from AcuteFindingsLib.models.package import BuildNetwork, ModelPackage, parse_metadata, read_package
from AcuteFindingsLib.models.task import load_reference
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.networks import stored_arguments

if TYPE_CHECKING:
    import torch

# By name, because the detectors lie above the models.
_EXAMPLES = "AcuteFindingsLib.detectors.examples:phantom_images"
_HALF_LIMIT = 65504.0


def write_package(
    folder: Path | str,
    *,
    state_dict: "Mapping[str, torch.Tensor] | Mapping[str, np.ndarray] | None" = None,
    programs: Mapping[str, Path] | None = None,
    card: Card,
    version: str,
    changelog: dict[str, str],
    description: str,
    authors: str,
    copyright: str,
    network_data_format: dict[str, Any],
    card_text: str,
    license_text: str,
    documents: Mapping[str, bytes] | None = None,
    half: bool = True,
    graphs: bool = True,
    ready: Mapping[str, bytes] | None = None,
    replace: bool = False,
    build: BuildNetwork | None = None,
) -> ModelPackage:
    """Write a model package in MONAI Bundle layout, verify it, and put it in its place.

    Everything is written to a folder beside the target, which is renamed at the end; after an error the target is as
    it was. Where the folder above holds a catalogue, its entry is brought up to date.

    Parameters
    ----------
    folder
        The package's own folder; must not exist unless `replace`.
    state_dict
        The network's tensors by name, of torch or of numpy; those of numpy are written as they are, without torch.
    programs
        Instead of tensors: files that run by themselves, by their path in the package (``models/model.onnx``).
    card
        Our section of the metadata. `pretrained` is left out of the network's arguments: the package has all weights.
    version, changelog, description, authors, copyright, network_data_format
        Fields of MONAI's metadata; `changelog` maps versions to what changed. What MONAI demands of
        `network_data_format` and is left out is filled in (`complete_data_format`).
    card_text
        Free text for the model card, Markdown; its tables and sections come from `card`.
    license_text
        Full text of the license of the weights.
    documents
        Further files for `docs/` by name; the card's pictures must be among them.
    half
        Store weights as float16. One-dimensional tensors (biases, batch-norm statistics), integers, and tensors with
        values beyond float16 keep their precision.
    graphs
        Write ONNX graphs of the network too, so that it runs without PyTorch. Where that is not possible the card says
        why.
    ready
        Graphs that are there already, by their path in the package, as `card` states them.
    replace
        Put the new package in the place of an old one.
    build
        Makes the network from its name and arguments; `AcuteFindingsLib.networks.build_network` when None.

    Returns
    -------
    ModelPackage
        The package as read back.

    Raises
    ------
    ModelError
        When the target exists and `replace` is False, a picture of the card is missing, or what was written would not
        verify: tensors that do not fit the network that `card` names, values that are not finite.
    """
    folder = Path(folder)
    if folder.exists() and not replace:
        raise ModelError(f"{folder} exists already; choose another folder or ask to replace it.")
    documents = documents or {}
    lacking = [picture.file for picture in card.pictures if picture.file not in documents]
    if lacking:
        raise ModelError(f"The model card of {card.id} shows {lacking[0]}, which is not among its documents; add it.")
    arguments = stored_arguments(card.network.arguments)
    card = card.model_copy(update={"network": card.network.model_copy(update={"arguments": arguments})})
    metadata = parse_metadata(
        {
            "schema": SCHEMA,
            "version": version,
            "changelog": changelog,
            "monai_version": _version_of("monai"),
            "pytorch_version": _version_of("torch"),
            "numpy_version": _version_of("numpy"),
            "required_packages_version": {name: _version_of(name) for name in ("safetensors", "timm")},
            "name": card.title,
            "task": card.title,
            "description": description,
            "authors": authors,
            "copyright": copyright,
            "intended_use": card.intended_use,
            "data_source": card.training_data.summary,
            "references": card.sources,
            "network_data_format": complete_data_format(card, network_data_format),
            "acutefindings": card.model_dump(mode="json", by_alias=True),
        },
        source=folder / METADATA,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{uuid.uuid4().hex[:8]}.partial.{folder.name}")
    try:
        if programs:
            for name, file in programs.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, partial / name)
        else:
            _write_weights(partial / WEIGHTS[0], state_dict or {}, half=half)
            for name, content in (ready or {}).items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(content)
            if graphs and not ready:
                metadata = _with_graphs(metadata, partial, WEIGHTS[0], build=build)
        _write_metadata(partial, metadata)
        if not programs:
            inference = inference_config(card, weights=WEIGHTS[0])
            _write_text(partial / INFERENCE, json.dumps(inference, indent=2, allow_nan=False) + "\n")
        _write_text(partial / CARD_TEXT, render_card(metadata, card_text))
        for name, content in documents.items():
            (partial / CARD_TEXT).with_name(name).write_bytes(content)
        _write_text(partial / LICENSE, license_text.rstrip() + "\n")
        _seal(partial, folder, build=build)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_package(folder)


def rewrite_package(folder: Path | str, *, build: BuildNetwork | None = None) -> ModelPackage:
    """Write `configs/inference.json` and MONAI's fields of a package anew, with the same weights and the same card.

    For packages of an earlier version of this library, with the graphs of its network. Weights and license are copied
    byte for byte, the model card but for what is said of the graphs; after an error the package is as it was.

    Raises
    ------
    ModelError
        When the package does not verify before or after.
    """
    package = read_package(folder)
    package.verify_files()
    folder = package.folder
    stated = package.metadata.model_dump(mode="json", by_alias=True)
    stated |= {
        "schema": SCHEMA,
        "network_data_format": complete_data_format(package.card, package.metadata.network_data_format),
    }
    metadata = parse_metadata(stated, source=folder / METADATA)
    partial = folder.with_name(f".{uuid.uuid4().hex[:8]}.partial.{folder.name}")
    try:
        shutil.copytree(folder, partial)
        # TorchScript and ONNX files run as they are; there is no network to write graphs of.
        if INFERENCE in package.checksums:
            shutil.rmtree(partial / FOLDER, ignore_errors=True)
            metadata = _with_graphs(metadata, partial, package.weights, build=build)
            if CARD_TEXT in package.checksums and metadata.acutefindings.graphs:
                told = with_runtime(package.read_card_text(), metadata.acutefindings.graphs)
                _write_text(partial / CARD_TEXT, told)
        _write_metadata(partial, metadata)
        # Nor is there one for MONAI to build.
        if INFERENCE in package.checksums:
            inference = inference_config(package.card, weights=package.weights)
            _write_text(partial / INFERENCE, json.dumps(inference, indent=2, allow_nan=False) + "\n")
        _seal(partial, folder, build=build)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_package(folder)


def _seal(partial: Path, folder: Path, *, build: BuildNetwork | None) -> None:
    """Write the checksums, prove the package and move it to its place; sweep what killed processes left beside it."""
    sweep_abandoned(folder.parent, rf"\.[0-9a-f]{{8}}\.partial\.{re.escape(folder.name)}")
    if folder.exists():
        # Before, it may be all that is left of the package.
        sweep_abandoned(folder.parent, rf"\.[0-9a-f]{{8}}\.old\.{re.escape(folder.name)}")
    files = (path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file())
    sums = {name: file_sha256(partial / name) for name in sorted(files) if name != CHECKSUMS}
    _write_text(partial / CHECKSUMS, json.dumps(sums, indent=2) + "\n")
    verify_package(read_package(partial), build=build)
    _take_place(partial, folder)
    if (folder.parent / CATALOGUE).is_file():
        refresh_catalogue(folder.parent)


def _with_graphs(metadata: Metadata, partial: Path, weights: str, *, build: BuildNetwork | None) -> Metadata:
    """Write the graphs of the network whose weights are in a package that is being made; return what is said of it."""
    from AcuteFindingsLib.models.graphs.make import NOISE, make_graphs
    from AcuteFindingsLib.models.runtime.torch_weights import check_state_dict, make_network, read_state_dict

    card = metadata.acutefindings
    network = make_network(card.network, source=partial / METADATA, build=build)
    state = read_state_dict(partial / weights)
    check_state_dict(state, network, source=partial / weights)
    network.load_state_dict(state)
    images, compared_on = load_reference(_EXAMPLES)(card) or (None, NOISE)
    stated, files = make_graphs(
        network.eval().requires_grad_(False),
        card=card,
        data_format=metadata.network_data_format,
        images=images,
        compared_on=compared_on,
    )
    for name, content in files.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(content)
    return metadata.model_copy(update={"acutefindings": card.model_copy(update={"graphs": stated})})


def _write_metadata(partial: Path, metadata: Metadata) -> None:
    told = metadata.model_dump(mode="json", by_alias=True)
    _write_text(partial / METADATA, json.dumps(told, indent=2, allow_nan=False) + "\n")


def _write_weights(
    path: Path, state_dict: "Mapping[str, torch.Tensor] | Mapping[str, np.ndarray]", *, half: bool
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: value for name, value in state_dict.items() if isinstance(value, np.ndarray)}
    if arrays:
        from safetensors import numpy as arrays_file

        arrays_file.save_file(arrays, path, metadata={"format": "pt"})
        return
    from safetensors.torch import save_file

    tensors = {name: value for name, value in state_dict.items() if not isinstance(value, np.ndarray)}
    kept = {name: stored_tensor(value, half=half) for name, value in tensors.items()}
    save_file(kept, path, metadata={"format": "pt"})


def stored_tensor(tensor: "torch.Tensor", *, half: bool) -> "torch.Tensor":
    """Return a tensor as a package keeps it (`write_package`)."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        small = half and tensor.ndim > 1 and bool(tensor.abs().max() <= _HALF_LIMIT if tensor.numel() else True)
        tensor = tensor.half() if small else tensor.float()
    # A copy of its own: safetensors refuses tensors that share memory.
    return tensor.contiguous().clone()


def _take_place(partial: Path, folder: Path) -> None:
    """Rename `partial` to `folder`; an old package steps aside first and comes back if that fails."""
    if not folder.exists():
        partial.rename(folder)
        return
    aside = folder.with_name(f".{uuid.uuid4().hex[:8]}.old.{folder.name}")
    folder.rename(aside)
    try:
        partial.rename(folder)
    except OSError as error:
        aside.rename(folder)
        raise ModelError(f"{folder} could not be replaced: {error}; the old model package is still there.") from error
    shutil.rmtree(aside, ignore_errors=True)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
