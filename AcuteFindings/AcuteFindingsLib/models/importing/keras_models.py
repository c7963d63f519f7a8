"""Backbones from Keras."""

from pathlib import Path

from AcuteFindingsLib.models.importing import keras_networks
from AcuteFindingsLib.models.importing.converted import Converted, Options, Probe, random_pictures
from AcuteFindingsLib.models.importing.keras_file import KerasFile, read_keras_file
from AcuteFindingsLib.models.importing.keras_source import ask_keras
from AcuteFindingsLib.models.importing.keras_weights import dense_shapes, first_channels, torch_weights
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.task import PART

_SOURCE = "Szegedy C. et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, 2016"


def convert_backbone(path: Path, options: Options) -> Converted:
    """Read InceptionResNetV2 itself, such as ``InceptionResNetV2_NIH15_Px256.h5``: a part to start a training from."""
    file = read_keras_file(path)
    channels = first_channels(file)
    graph, last = keras_networks.inception_resnet_v2("backbone.network.")
    # Classes of ImageNet or of the NIH's chest radiographs may follow; they are left behind.
    graph.add("Dense", last, name="classes", units=0)
    state, left = torch_weights(file, (graph.layers, ["classes"]), name="InceptionResNetV2", optional=("classes",))
    size = options.size or 256
    batch = random_pictures(channels, size, low=-1, high=1)
    dense = [int(shape[1]) for shape in dense_shapes(file)] if left else []
    spec = {"network": "backbone", "channels": channels, "size": size, "dense": dense, "nested": file.nested}
    many = f"{len(left)} layers after it were" if len(left) > 1 else "The layer of classes was"
    remark = f"{many} left out ({', '.join(left)})." if left else ""
    return Converted(
        task=PART,
        title=f"InceptionResNetV2 for {channels_told(channels)} pictures, imported from Keras",
        network=Network(name="image_features", arguments={"backbone": "inception_resnet_v2", "in_channels": channels}),
        state=state,
        form=keras_form(file, channels),
        framework="Keras",
        probes=(Probe(batch, lambda batch: ask_keras(path, spec, batch.transpose(0, 2, 3, 1), options.source_python)),),
        preprocessing={"size": size, "channels": channels, "mean": 0.5, "std": 0.5},
        labels=(),
        points=(),
        image=(channels, size, -1.0, 1.0),
        remarks=(remark,) if remark else (),
        sources=(_SOURCE,),
    )


def keras_form(file: KerasFile, channels: int) -> str:
    """Return in words what a file is: version and layout."""
    return f"Keras {file.version or 'of unknown version'}, {channels_told(channels)} layout"


def channels_told(channels: int) -> str:
    """Return in words how many channels pictures have."""
    return {1: "one-channel (NIH)", 3: "three-channel (ImageNet)"}.get(channels, f"{channels}-channel")
