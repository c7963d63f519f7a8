"""`configs/inference.json`: how MONAI's own tools run a package on single images.

This library never evaluates that file; it is for those who trust a package and use it from MONAI.
"""

from pathlib import Path
from typing import Any

from AcuteFindingsLib.models.metadata import Card

_SUFFIXES = (".dcm", ".nii", ".nii.gz", ".nrrd", ".png", ".jpg", ".jpeg")
# Networks whose `forward` takes a whole series.
_IMAGE_PARTS = {"pe": "encode", "radnet": "features"}


def inference_config(
    card: Card, network_data_format: dict[str, Any], *, weights: str, part: str | None = None
) -> dict[str, Any]:
    """Return a MONAI Bundle inference configuration for single images.

    Windowing comes from the card's preprocessing (``window_level`` and ``window_width`` in HU) where it states them,
    else the image's own range is stretched; so does its scale (``mean`` and ``std``). Size, channels and value range
    come from `network_data_format`. Masks, crops and resampling are the detectors' work and not repeated here.

    Parameters
    ----------
    card
        Of the package.
    network_data_format
        As in `configs/metadata.json`: ``inputs.image`` with ``num_channels``, ``spatial_shape`` and ``value_range``.
    weights
        Path of the weights below the package's folder.
    part
        Method of the network that takes single images: ``""`` is `forward`, None the one that is right for the network.
    """
    if part is None:
        part = _IMAGE_PARTS.get(card.network.name, "")
    image = network_data_format.get("inputs", {}).get("image", {})
    low, high = image.get("value_range", (0.0, 1.0))
    mean, std = card.preprocessing.get("mean"), card.preprocessing.get("std")
    if isinstance(mean, int | float) and isinstance(std, int | float) and std > 0:
        low, high = -mean / std, (1 - mean) / std
    channels = image.get("num_channels", 1)
    shape = [size for size in image.get("spatial_shape", ()) if isinstance(size, int)][-2:]
    level, width = card.preprocessing.get("window_level"), card.preprocessing.get("window_width")
    if isinstance(level, int | float) and isinstance(width, int | float):
        scale = {
            "_target_": "ScaleIntensityRange",
            "a_min": level - width / 2,
            "a_max": level + width / 2,
            "b_min": low,
            "b_max": high,
            "clip": True,
        }
    else:
        scale = {"_target_": "ScaleIntensity", "minv": low, "maxv": high}
    # One slice of one channel, rows first: what a PNG, a NIfTI slice or a DICOM file comes down to.
    first = "$lambda image: image.reshape(image.shape[0], image.shape[1], -1)[None, ..., 0].swapaxes(1, 2)"
    transforms: list[dict[str, Any]] = [
        {"_target_": "LoadImage", "image_only": True, "ensure_channel_first": False},
        {"_target_": "Lambda", "func": first},
        scale,
        *([{"_target_": "Resize", "spatial_size": shape, "mode": "bilinear"}] if len(shape) == 2 else []),
        *([{"_target_": "RepeatChannel", "repeats": channels}] if channels > 1 else []),
        {"_target_": "EnsureType", "dtype": "$torch.float32", "track_meta": False},
    ]
    return {
        "imports": [
            "$import torch",
            "$from safetensors.torch import load_file",
            "$import AcuteFindingsLib.models.bundle_config as scoring",
        ],
        "bundle_root": ".",
        "image_folder": "$@bundle_root + '/images'",
        "output_file": "$@bundle_root + '/scores.json'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "part": part,
        "network_def": {
            "_target_": "AcuteFindingsLib.networks.build_network",
            "name": card.network.name,
            "arguments": card.network.arguments,
        },
        "network": "$@network_def.to(@device).eval()",
        "weights": _weights_expression(weights),
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "dataset": {
            "_target_": "Dataset",
            "data": "$scoring.image_files(@image_folder)",
            "transform": "@preprocessing",
        },
        "inferer": {"_target_": "SimpleInferer"},
        "initialize": ["$@network.load_state_dict(@weights)"],
        "run": [
            "$scoring.score_images(@network, @dataset, inferer=@inferer, device=@device, "
            "part=@part, target=@output_file)"
        ],
    }


def image_files(folder: str) -> list[str]:
    """List the images in a folder, sorted by name."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.name.lower().endswith(_SUFFIXES))


def score_images(network: Any, dataset: Any, *, inferer: Any, device: Any, part: str, target: str) -> dict[str, Any]:
    """Run the network on each image of a MONAI data set and write its logits, by file name, to a JSON file.

    Outputs with more than 64 numbers (masks) are told by their largest logit, so that the file stays readable.
    """
    import json

    import torch

    from AcuteFindingsLib.files import replace_when_written

    call = getattr(network, part) if part else network
    scores: dict[str, Any] = {}
    with torch.inference_mode():
        for number, file in enumerate(dataset.data):
            outputs = inferer(dataset[number][None].to(device), call)
            named = outputs if isinstance(outputs, dict) else {part or "output": outputs}
            scores[Path(file).name] = {
                name: value[0].flatten().tolist() if value[0].numel() <= 64 else [float(value.max())]
                for name, value in named.items()
            }
    with replace_when_written(Path(target)) as partial:
        partial.write_text(json.dumps(scores, indent=2), encoding="utf-8")
    return scores


def _weights_expression(weights: str) -> str:
    # Half precision on disk needs no care: load_state_dict casts to the network's float32.
    return f"$load_file(@bundle_root + '/{weights}')"
