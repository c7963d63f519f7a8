"""DenseNet121 from where people have it: torchvision, timm, TorchXRayVision and CheXNet."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import (
    Answers,
    Converted,
    Options,
    Probe,
    SourceMissingError,
    form_of,
    labels_of,
    names_findings,
    normalization,
    normalized,
    points_of,
    random_pictures,
    task_of,
)
from AcuteFindingsLib.models.importing.heads import Outputs, choose_outputs
from AcuteFindingsLib.models.importing.state_files import fill_counters, read_state
from AcuteFindingsLib.models.metadata import Network
from AcuteFindingsLib.models.runtime.torch_weights import read_state_dict
from AcuteFindingsLib.models.task import PART
from AcuteFindingsLib.networks.gray_input import IMAGENET_MEAN, IMAGENET_STD

IMPORTER = "densenet121"
_XRV_OUTPUTS, _CHEXNET_OUTPUTS = 18, 14
_FEATURES = "features."
_ANCHOR = f"{_FEATURES}conv0.weight"
# torchvision before 0.2.1 named the parts of a dense layer `norm.1`, which modules may not be called any more.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
_SIZE = 224
_DENSENET = "Huang G. et al., Densely Connected Convolutional Networks, 2017"
_PAPERS = {
    "torchxrayvision": "Cohen J.P. et al., TorchXRayVision: A library of chest X-ray datasets and models, 2022",
    "chexnet": "Rajpurkar P. et al., CheXNet, 2017, arXiv:1711.05225",
}


def convert_densenet(path: Path, options: Options) -> Converted:
    """Read the state dict of a DenseNet121 of any of the four forms; which one shows in names and shapes.

    Raises
    ------
    ModelError
        When the file is damaged, wants to run code, is another network, or has outputs that nobody named.
    """
    given = _tensors(path)
    old = any(_OLD_NAME.search(name) for name in given)
    state = fill_counters({_OLD_NAME.sub(r"\1\2.", name): value for name, value in given.items()})
    points = state.pop("op_threshs", None)
    if not any(name.startswith("classifier.") for name in state):
        return _backbone(path, state, state[_ANCHOR].shape[1])
    weight, bias = (_classifier(path, state, part) for part in ("weight", "bias"))
    channels, count = state[_ANCHOR].shape[1], len(weight)
    form = _form(channels, count, points, old)
    torchvision_state = {**state, "classifier.weight": weight, "classifier.bias": bias}

    if not options.labels and options.channel is None and form == "imagenet":
        return _backbone(path, state, channels, classes=count)
    task = task_of(options, IMPORTER, names_findings, file=path.name)
    known = {len(names): names for names in form_of(task).label_sets.get(IMPORTER, ())}.get(count, ())
    outputs = choose_outputs(path, count, options, task=task, known=known, independent=points is not None)
    exclusive = outputs.exclusive
    every = list(outputs.names) if len(outputs.names) == count else [f"class {number}" for number in range(count)]
    arguments: dict = {"backbone": "densenet121", "in_channels": channels, "pathologies": every, "tubes": []}
    if len(outputs.classes) < count:
        arguments["chosen"] = list(outputs.classes)
    network_state = {f"backbone.network.{name}": value for name, value in state.items()}
    network_state |= {"pathologies.weight": weight, "pathologies.bias": bias}
    if exclusive:
        arguments["exclusive"] = True
    if points is not None:
        if options.head == "softmax":
            raise ModelError(f"{path.name} has operating points of TorchXRayVision, whose findings are independent.")
        if len(points) != count:
            raise ModelError(
                f"{path.name} has {len(points)} operating points for {count} outputs; they must be as many."
            )
        arguments["point_norm"] = True
        network_state["point_norm.points"] = torch.where(points.isnan(), -1.0, points)
    mean, std = normalization(channels, options, **_range(form, channels))
    preprocessing: dict = {"size": options.size or _SIZE, "flip": False, "equalise": False}
    if channels == 1:
        preprocessing |= {"mean": mean[0], "std": std[0]}
    else:
        arguments |= {"grey_mean": list(mean), "grey_std": list(std)}
    gray = random_pictures(1, preprocessing["size"], low=0, high=1)
    xrv = points is not None or form == "torchxrayvision"
    labels = labels_of(task, outputs.names)
    return Converted(
        task=task.id,
        title=f"DenseNet121 with {len(labels)} findings, imported ({_TOLD[form]})",
        network=Network(name="chest_classifier", arguments=arguments),
        state=network_state,
        form=f"DenseNet121 state dict, {_TOLD[form]}",
        framework="TorchXRayVision" if xrv else "torchvision",
        probes=(
            Probe(
                normalized(gray, mean, std) if channels == 1 else gray,
                lambda pictures: _ask(
                    torchvision_state, points, normalized(pictures, mean, std), xrv=xrv, outputs=outputs
                ),
                probabilities=frozenset({"pathologies"} if exclusive or points is not None else ()),
                pictures=gray,
            ),
        ),
        preprocessing=preprocessing,
        labels=labels,
        points=points_of(task, labels),
        image=(
            1,
            preprocessing["size"],
            *((-mean[0] / std[0], (1 - mean[0]) / std[0]) if channels == 1 else (0.0, 1.0)),
        ),
        remarks=(*_remarks(form, points, tuple(every), options), outputs.remark(count)),
        sources=tuple(paper for paper in (_DENSENET, _PAPERS.get(form)) if paper),
    )


_TOLD = {
    "torchxrayvision": "TorchXRayVision",
    "chexnet": "CheXNet",
    "imagenet": "ImageNet classes",
    "other": "torchvision or timm",
}


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return a file's tensors by torchvision's names; a backbone alone may have them without ``features.``."""
    try:
        return read_state(path, anchor=_ANCHOR)
    except ModelError:
        bare = _ANCHOR.removeprefix(_FEATURES)
        if not path.is_file() or not any(name.endswith(bare) for name in read_state_dict(path)):
            raise
        return {f"{_FEATURES}{name}": value for name, value in read_state(path, anchor=bare).items()}


def _classifier(path: Path, state: dict[str, torch.Tensor], part: str) -> torch.Tensor:
    names = [name for name in (f"classifier.{part}", f"classifier.0.{part}") if name in state]
    if not names:
        raise ModelError(f"{path.name} has no classifier.{part}: a DenseNet121 with its last layer was expected.")
    return state.pop(names[0])


def _form(channels: int, count: int, points: torch.Tensor | None, old: bool) -> str:
    if points is not None or (channels == 1 and count == _XRV_OUTPUTS):
        return "torchxrayvision"
    if count == 1000:
        return "imagenet"
    return "chexnet" if count == _CHEXNET_OUTPUTS and (old or channels == 3) else "other"


def _range(form: str, channels: int) -> dict[str, tuple[float, ...]]:
    if form == "torchxrayvision":
        # 0..1 becomes -1024..1024.
        return {"mean": (0.5,), "std": (1 / 2048,)}
    return {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} if channels == len(IMAGENET_MEAN) else {}


def _remarks(form: str, points: torch.Tensor | None, labels: tuple[str, ...], options: Options) -> tuple[str, ...]:
    remarks = []
    if form == "torchxrayvision" and points is None:
        remarks.append("The file holds no operating points (op_threshs), so probabilities are not normalized to them.")
    if points is not None and points.isnan().any():
        silent = [name for name, value in zip(labels, points, strict=True) if value.isnan()]
        remarks.append(f"These weights were not trained on {', '.join(silent)}: the probability is always 0.5.")
    if not options.mean and form == "other":
        remarks.append("How pictures were normalized is not in the file; --mean and --std say so.")
    return tuple(remarks)


def _ask(
    state: Mapping[str, torch.Tensor], points: torch.Tensor | None, batch: np.ndarray, *, xrv: bool, outputs: Outputs
) -> Answers:
    channels, count = batch.shape[1], len(state["classifier.bias"])
    if xrv and find_spec("torchxrayvision") is not None:
        import torchxrayvision

        network = torchxrayvision.models.DenseNet(num_classes=count, in_channels=channels)
        network.load_state_dict(dict(state))
        network.op_threshs = points
    elif points is not None:
        raise SourceMissingError("TorchXRayVision is not installed here (pip install torchxrayvision)")
    else:
        network = _torchvision(channels, count)
        network.load_state_dict(dict(state))
    with torch.inference_mode():
        answer = network.eval()(torch.from_numpy(batch)).numpy()
    return {"pathologies": outputs.answers(answer)}


def _torchvision(channels: int, count: int) -> torch.nn.Module:
    from torchvision.models import densenet121

    network = densenet121(num_classes=count)
    if channels != 3:
        network.features.conv0 = torch.nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    return network


def _backbone(path: Path, state: Mapping[str, torch.Tensor], channels: int, *, classes: int = 0) -> Converted:
    """Keep what lies below the classes, if there are any: a part to start a training from."""
    batch = random_pictures(channels, _SIZE, low=-2, high=2)

    def ask(batch: np.ndarray) -> Answers:
        network = _torchvision(channels, 1)
        network.classifier = torch.nn.Identity()
        network.load_state_dict(dict(state))
        with torch.inference_mode():
            return {"features": network.eval()(torch.from_numpy(batch)).numpy()}

    return Converted(
        task=PART,
        title="DenseNet121 without its classes, imported",
        network=Network(name="image_features", arguments={"backbone": "densenet121", "in_channels": channels}),
        state={f"backbone.network.{name}": value for name, value in state.items()},
        form="DenseNet121 state dict, ImageNet classes" if classes else "DenseNet121 state dict without classes",
        framework="torchvision",
        probes=(Probe(batch, ask),),
        preprocessing={"size": _SIZE},
        labels=(),
        points=(),
        image=(channels, _SIZE, -2.0, 2.0),
        remarks=(f"The {classes} classes of {path.name} were left out.",) if classes else (),
        sources=(_DENSENET,),
    )
