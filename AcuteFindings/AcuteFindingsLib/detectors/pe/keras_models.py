"""The networks of docs/sources.md 1 from Keras: slice models, sequence models, or both together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from AcuteFindingsLib.detectors.pe.kind import KIND
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing import keras_networks
from AcuteFindingsLib.models.importing.converted import Converted, Options, Probe, labels_of, points_of, random_pictures
from AcuteFindingsLib.models.importing.keras_file import KerasFile, is_keras, read_keras_file
from AcuteFindingsLib.models.importing.keras_models import channels_told, keras_form
from AcuteFindingsLib.models.importing.keras_source import ask_keras
from AcuteFindingsLib.models.importing.keras_weights import dense_shapes, first_channels, torch_weights
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.task import PART

_FEATURES = 1536
_PE_SIZE = 386
_SOURCES = (
    "Huhtanen H. et al., BMC Medical Imaging 22, 2022, doi:10.1186/s12880-022-00763-z",
    "Szegedy C. et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, 2016",
)
_LABELS = labels_of(KIND.task, (KIND.task.main_label,))
_POINTS = points_of(KIND.task, _LABELS)


def convert_pe(path: Path, options: Options) -> Converted:
    """Read the slice model of docs/sources.md 1, and the sequence model from ``options.also["sequence"]``.

    Raises
    ------
    ModelError
        When a file is damaged, is another network, or the sequence model is not named.
    """
    if "sequence" not in options.also:
        raise ModelError(
            f"{path.name} reads slices only, and a verdict needs the sequence model too: name its file with "
            "--also sequence=FILE, or import the slice model alone with --as pe-slices."
        )
    slices, sequence = (
        _slices(path, options, "encoder."),
        _sequence(options.also["sequence"], options, "sequence_network."),
    )
    # What the sequence network is asked is read by the part of that name.
    encoder, reader = slices.network.arguments, sequence.network.arguments
    if encoder["encoding"] != reader["encoding"]:
        raise ModelError(
            f"{path.name} gives {encoder['encoding']} numbers per slice, and {options.also['sequence'].name} takes "
            f"{reader['encoding']}: they do not belong together."
        )
    (see,), (read,) = slices.probes, sequence.probes
    channels, size = slices.image[:2]
    return Converted(
        task=KIND.id,
        title="InceptionResNetV2 and LSTM, imported from Keras",
        network=Network(name="pe", arguments={"encoder": encoder, "sequence": reader}),
        state={**(slices.state or {}), **(sequence.state or {})},
        form=f"{slices.form}; {sequence.form} in {options.also['sequence'].name}",
        framework="Keras",
        probes=(
            Probe(see.batch, see.ask, "encode", see.probabilities),
            Probe(read.batch, read.ask, "sequence", read.probabilities),
        ),
        preprocessing={"size": size, "channels": channels, "window": reader["length"], "batch": 8},
        labels=_LABELS,
        points=_POINTS,
        image=slices.image,
        remarks=(*slices.remarks, *sequence.remarks),
        sources=_SOURCES,
    )


def convert_slices(path: Path, options: Options) -> Converted:
    """Read the slice model of docs/sources.md 1 alone: a part to train a sequence model on."""
    return _slices(path, options, "")


def convert_sequence(path: Path, options: Options) -> Converted:
    """Read the sequence model of docs/sources.md 1 alone."""
    return _sequence(path, options, "")


def is_slice_model(path: Path) -> bool:
    """Whether a file is one of Keras whose three dense layers are those of the slice model."""
    return is_keras(path) and len(dense_shapes(read_keras_file(path))) == 3 and not is_sequence_model(path)


def is_sequence_model(path: Path) -> bool:
    """Whether a file is one of Keras with an LSTM."""
    return is_keras(path) and any(layer.kind == "LSTM" for layer in read_keras_file(path).layers)


def _slices(path: Path, options: Options, prefix: str) -> Converted:
    file = read_keras_file(path)
    channels = first_channels(file)
    dense = dense_shapes(file)
    hidden, encoding = _head(path, dense)
    state, _ = torch_weights(
        file,
        keras_networks.slice_network(prefix, hidden=hidden, encoding=encoding),
        name="the slice network of the PE source (InceptionResNetV2, three dense layers)",
    )
    size = options.size or _PE_SIZE
    batch = random_pictures(channels, size, low=-1, high=1)
    spec = {"network": "slices", "channels": channels, "size": size, "hidden": hidden, "encoding": encoding}
    spec["nested"] = file.nested
    arguments = {"backbone": "inception_resnet_v2", "in_channels": channels, "hidden": hidden, "encoding": encoding}
    return Converted(
        task=PART,
        title=f"Slice encoder for {channels_told(channels)} pictures, imported from Keras",
        network=Network(name="pe_slice_encoder", arguments=arguments),
        state=state,
        form=keras_form(file, channels),
        framework="Keras",
        probes=(
            Probe(
                batch,
                lambda batch: ask_keras(path, spec, batch.transpose(0, 2, 3, 1), options.source_python),
                probabilities=frozenset({"slice"}),
            ),
        ),
        preprocessing={"size": size, "channels": channels, "window_level": 100.0, "window_width": 700.0},
        labels=_LABELS,
        points=tuple(point for point in _POINTS if point.level == "slice"),
        image=(channels, size, -1.0, 1.0),
        sources=_SOURCES,
    )


def _head(path: Path, dense: list[tuple[int, ...]]) -> tuple[int, int]:
    """Find hidden units and encoding length among the dense layers, whatever their order in the file."""
    hidden = next((shape[1] for shape in dense if shape[0] == _FEATURES), 0)
    encoding = next((shape[1] for shape in dense if shape[0] == hidden), 0)
    if len(dense) != 3 or (encoding, 1) not in dense:
        told = ", ".join("×".join(map(str, shape)) for shape in dense) or "none"
        raise ModelError(
            f"{path.name} is not a slice model of the PE source: its dense layers are {told}; expected "
            f"{_FEATURES}×512, "
            "512×64 and 64×1. Import a backbone alone with --as inception-resnet-v2."
        )
    return hidden, encoding


def _sequence(path: Path, options: Options, prefix: str) -> Converted:
    file = read_keras_file(path)
    arguments = _sequence_arguments(file)
    graph = keras_networks.sequence_network(prefix, hidden=arguments["hidden"], dense=arguments["dense"])
    state, _ = torch_weights(file, graph, name="the sequence network of the PE source (BiLSTM, four dense layers)")
    length, encoding = arguments["length"], arguments["encoding"]
    batch = np.random.default_rng(21).normal(0, 1, (2, length, encoding)).astype(np.float32)
    # The source pads short stacks with zeros and reads them like slices.
    batch[1, -length // 4 :] = 0
    spec = {"network": "sequence", **arguments}
    return Converted(
        task=PART,
        title="Sequence network, imported from Keras",
        network=Network(name="pe_sequence", arguments={**arguments, "exam_head": False, "mask_padding": False}),
        state=state,
        form=f"Keras {file.version or 'of unknown version'}, sequence model",
        framework="Keras",
        probes=(
            Probe(
                batch,
                lambda batch: ask_keras(path, spec, batch, options.source_python),
                probabilities=frozenset({"slice", "stack"}),
            ),
        ),
        preprocessing={"window": length},
        labels=_LABELS,
        points=_POINTS,
        image=(1, encoding, -1.0, 1.0),
        sources=_SOURCES[:1],
    )


def _sequence_arguments(file: KerasFile) -> dict[str, Any]:
    arrays: Mapping[str, np.ndarray] = next((layer.arrays for layer in file.layers if layer.kind == "LSTM"), {})
    needed = ("forward/kernel", "forward/recurrent_kernel", "backward/kernel", "backward/recurrent_kernel")
    dense = dense_shapes(file)
    if any(name not in arrays for name in needed) or len(dense) != 4:
        raise ModelError(
            f"{file.path.name} is not a sequence model of the PE source: a bidirectional LSTM and four dense layers "
            "belong in it."
        )
    hidden = arrays["forward/recurrent_kernel"].shape[0]
    first = next((shape for shape in dense if shape[0] == 2 * hidden), (0, 0))
    second = next((shape for shape in dense if shape[0] == first[1]), (0, 0))
    rest = [shape for shape in dense if shape not in (first, second, (second[1], 1))]
    if len(rest) != 1 or rest[0][1] != 1:
        raise ModelError(f"{file.path.name} is not a sequence model of the PE source: its dense layers are {dense}.")
    return {
        "length": int(rest[0][0]),
        "encoding": int(arrays["forward/kernel"].shape[0]),
        "hidden": int(hidden),
        "dense": [int(first[1]), int(second[1])],
    }
