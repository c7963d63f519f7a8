"""A MONAI bundle whose network reads volumes: its network, transforms and inferer, read as data.

No expression of the bundle is evaluated. Of its transforms those are taken that need nothing but numbers; they are
applied by MONAI itself, in the bundle's order.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.models.importing.bundle_files import WEIGHTS, find_config, literal, network_of, read_config
from AcuteFindingsLib.networks.arguments import check_arguments
from AcuteFindingsLib.networks.monai_names import ARGUMENTS
from AcuteFindingsLib.providers.own_networks.folder import NetworkFolder, choose_classes, printable

NETWORKS = frozenset(
    """AttentionUnet BasicUNet BasicUNetPlusPlus DynUNet MedNeXt SegResNet SegResNetDS SwinUNETR UNETR UNet
    VNet""".split()  # noqa: SIM905
)
"""Networks of MONAI that draw masks in volumes."""

TRANSFORMS = frozenset(
    """ClipIntensityPercentiles CropForeground DivisiblePad NormalizeIntensity Orientation Resize ResizeWithPadOrCrop
    ScaleIntensity ScaleIntensityRange ScaleIntensityRangePercentiles Spacing SpatialPad""".split()  # noqa: SIM905
)
"""Transforms that are applied. MONAI keeps account of how they move voxels, so that the answer can be put back."""

_ALREADY_SO = frozenset(
    "LoadImage EnsureChannelFirst AddChannel AsChannelFirst EnsureType CastToType ToTensor".split()  # noqa: SIM905
)
_NOT_ARGUMENTS = frozenset(
    ["keys", "allow_missing_keys", "device", "dtype", "source_key", "meta_keys", "meta_key_postfix"]
)
_SPELLING = re.compile(r"(d|D|Dict)$")


def read_bundle_folder(
    folder: Path, *, labels: Sequence[str] = (), head: str | None = None, roi: Sequence[int] = ()
) -> NetworkFolder:
    """Read what a bundle says of its network.

    Parameters
    ----------
    folder
        The unpacked bundle.
    labels
        Which of its classes are the finding, by name or number; needed where it draws several.
    head
        ``"softmax"`` where its classes exclude each other, ``"sigmoid"`` where each is asked for by itself; what its
        post-processing says where None.
    roi
        Voxels ``(x, y, z)`` that the network is shown at once; what its inferer says where empty.

    Raises
    ------
    ProviderError
        It reads no volumes of one channel, its network is not among `NETWORKS`, or a transform is not among
        `TRANSFORMS`.
    ModelError
        A file cannot be read, or a setting is an expression.
    """
    if not folder.is_dir():
        raise ProviderError(f"There is no folder {folder}; correct the path. An archive has to be unpacked first.")
    name = folder.name
    config = find_config(name, folder)
    metadata_file = folder / "configs/metadata.json"
    metadata = read_config(metadata_file) if metadata_file.is_file() else {}
    weights = next((path for path in WEIGHTS if (folder / path).is_file()), None)
    if weights is None:
        raise ProviderError(f"{name} holds no weights: {' or '.join(WEIGHTS)} is missing.")
    target, arguments = _network(name, config)
    count = int(arguments.get("out_channels", 2 if target in ("SegResNet", "BasicUNet", "VNet") else 1))
    exclusive = _exclusive(name, config, count, head)
    classes, drawn = choose_classes(name, _classes(metadata, count, exclusive=exclusive), labels)
    transforms = _transforms(name, config)
    return NetworkFolder(
        network=f"MONAI bundle, {target}",
        drawn=drawn,
        files=[weights],
        weights=1,
        program={
            "weights": weights,
            "target": target,
            "arguments": arguments,
            "values": budgets().network_values,
            "transforms": transforms,
            **_inferer(name, config, metadata, roi),
            "classes": classes,
            "exclusive": exclusive,
        },
        turns=any(step["name"] == "Orientation" for step in transforms),
    )


def _network(name: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    target, arguments = network_of(name, config)
    target = {"Unet": "UNet", "DynUnet": "DynUNet", "BasicUnet": "BasicUNet"}.get(target, target)
    if target not in NETWORKS:
        raise ProviderError(
            f"{name} was refused: its network is {ascii(target)[:80]}, and these can be run: "
            f"{', '.join(sorted(NETWORKS))}."
        )
    # Kept in bundles of earlier releases, without any effect on the network since MONAI 1.3; gone in 1.5.
    if target == "SwinUNETR":
        arguments.pop("img_size", None)
    strange = [key for key in arguments if key not in ARGUMENTS | {"use_checkpoint"}]
    if strange:
        raise ProviderError(f"{name}: MONAI's {target} is not built with {ascii(strange[0])[:80]} here; leave it out.")
    check_arguments(arguments, network=name)
    if arguments.get("spatial_dims", 3) != 3:
        raise ProviderError(
            f"{name} reads pictures (spatial_dims {arguments['spatial_dims']}); import it with `acutefindings models "
            "import FOLDER --as monai-bundle`."
        )
    if arguments.get("in_channels", 1) != 1:
        raise ProviderError(
            f"{name} is shown {arguments['in_channels']} images of a patient; a network that is shown one CT is needed."
        )
    return target, arguments


def _steps(name: str, config: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the transforms that a configuration lists under a name; empty where it has none."""
    stated = config.get(key)
    for _ in range(4):
        if isinstance(stated, str) and stated.startswith(("@", "%")):
            stated = config.get(stated[1:])
        elif isinstance(stated, dict) and "transforms" in stated:
            stated = stated["transforms"]
    if stated is None:
        return []
    if not isinstance(stated, list) or not all(isinstance(step, dict) for step in stated):
        raise ProviderError(
            f"{name} does not list its {key} as data ({ascii(stated)[:80]}); write the transforms into the "
            "configuration."
        )
    return [step for step in stated if not step.get("_disabled_")]


def _kind(step: Mapping[str, Any]) -> str:
    return _SPELLING.sub("", str(step.get("_target_", "")).rpartition(".")[2])


def _transforms(name: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = []
    for step in _steps(name, config, "preprocessing"):
        kind = _kind(step)
        if kind in _ALREADY_SO:
            continue
        if kind not in TRANSFORMS:
            raise ProviderError(
                f"{name} prepares its images with {ascii(step.get('_target_'))[:80]}, which is not among those that "
                f"are understood: {', '.join(sorted(TRANSFORMS))}."
            )
        arguments = {
            key: literal(name, f"{kind}'s {key}", value, config)
            for key, value in step.items()
            if not key.startswith("_") and key not in _NOT_ARGUMENTS
        }
        # One entry for each key; ours is the image, the first.
        for key in ("mode", "padding_mode", "align_corners"):
            if isinstance(arguments.get(key), list) and arguments[key]:
                arguments[key] = arguments[key][0]
        check_arguments(arguments, network=name)
        steps.append({"name": kind, "arguments": arguments})
    if not steps:
        raise ProviderError(
            f"{name} does not say how its images are prepared (preprocessing in its configuration), and without that "
            "its answers mean nothing."
        )
    return steps


def _exclusive(name: str, config: Mapping[str, Any], count: int, head: str | None) -> bool:
    """Return whether the classes exclude each other."""
    if head is not None:
        return head == "softmax"
    for step in _steps(name, config, "postprocessing"):
        kind = _kind(step)
        if kind == "Activations" and (step.get("softmax") is True or step.get("sigmoid") is True):
            return step.get("softmax") is True
        if kind == "AsDiscrete" and step.get("argmax") is True:
            return True
        if kind == "AsDiscrete" and isinstance(step.get("threshold"), int | float):
            return False
    if count == 1:
        return False
    raise ProviderError(
        f"{name} gives {count} numbers a voxel and does not say whether they exclude each other: say so with --head "
        "softmax or --head sigmoid."
    )


def _classes(metadata: Mapping[str, Any], count: int, *, exclusive: bool) -> dict[str, int]:
    """Return the number of each class by its name, without the background of classes that exclude each other."""
    answer = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    stated = answer.get("channel_def", {}) if isinstance(answer, dict) else {}
    names = {number: printable(stated.get(str(number), f"class {number}")) for number in range(count)}
    return {label: number for number, label in names.items() if not (exclusive and count > 1 and number == 0)}


def _inferer(name: str, config: Mapping[str, Any], metadata: Mapping[str, Any], roi: Sequence[int]) -> dict[str, Any]:
    """Return the tile, its overlap and its weighting; a tile of None is the whole volume at once."""
    stated = config.get("inferer")
    inferer: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    kind = str(inferer.get("_target_", "")).rpartition(".")[2]
    settings = {
        key: literal(name, f"inferer's {key}", inferer[key], config)
        for key in ("roi_size", "overlap", "mode", "padding_mode")
        if key in inferer
    }
    if kind not in ("", "SlidingWindowInferer", "SlidingWindowInfererAdapt", "SimpleInferer"):
        raise ProviderError(f"{name} runs its network with {ascii(kind)[:80]}; SlidingWindowInferer is understood.")
    size = list(roi) or settings.get("roi_size")
    if size is None and kind != "SimpleInferer":
        image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
        size = image.get("spatial_shape") if isinstance(image, dict) else None
    size = [size] * 3 if isinstance(size, int) else size
    if size is not None or kind != "SimpleInferer":
        whole = isinstance(size, list) and len(size) == 3 and all(isinstance(n, int) and 8 <= n <= 1024 for n in size)
        if not whole:
            raise ProviderError(
                f"{name} does not say how many voxels its network is shown at once; say so with --roi x,y,z, such as "
                "96,96,96."
            )
    overlap = settings.get("overlap", 0.25)
    if not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise ProviderError(f"{name}: its tiles overlap by {ascii(overlap)[:40]}; a share from 0 to below 1 is needed.")
    mode, padding = settings.get("mode", "constant"), settings.get("padding_mode", "constant")
    if mode not in ("constant", "gaussian") or padding not in ("constant", "replicate", "reflect", "circular"):
        raise ProviderError(f"{name}: its tiles are joined by {ascii(mode)[:40]}, padded by {ascii(padding)[:40]}.")
    return {"roi": size, "overlap": float(overlap), "blend": mode, "padding": padding}
