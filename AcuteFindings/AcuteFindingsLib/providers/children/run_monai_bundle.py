"""A network of MONAI on one volume: ``do`` is ``"version"``, ``"check"`` or ``"run"``; see `child_tools`.

Request: ``folder`` (the bundle), ``weights`` (file in it), ``target`` and ``arguments`` (class in
`monai.networks.nets`), ``values`` (how many weights a network may have); for a run also ``input`` (file, float32 HU
``(z, y, x)``), ``affine`` (its 4x4 to RAS), ``transforms`` (names and arguments), ``roi``, ``overlap``, ``blend`` and
``padding`` of tiles, ``classes``, ``exclusive`` and ``device``. Result: ``version``; for a run ``probability`` (file
with each voxel's probability, float32 on the input's grid). Nothing of the bundle is evaluated.
"""

import importlib.metadata
import math
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from child_tools import ChildError, Telling, nothing_executed, require_memory, serve, time_left

_SLICES = 16

_BYTES = 42
"""A voxel of the study takes at the peak; measured with MONAI 1.6 (100 slices of 512x512, turned and resampled)."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


def work(request: dict[str, Any], folder: Path, tell: Telling) -> dict[str, Any]:
    """Say the version, check or run."""
    result: dict[str, Any] = {"version": importlib.metadata.version("monai")}
    if request["do"] == "version":
        return result
    tell("Starting MONAI", 0.0)
    network = load(request)
    tell("MONAI: the weights are read", 0.05)
    if request["do"] == "run":
        result["probability"] = segment(request, network, folder, tell)
    return result


def load(request: dict[str, Any]) -> Any:
    """Build the network, within the number of weights that is allowed, and read its weights as tensors alone."""
    import torch
    from monai.networks import nets
    from torch.utils._python_dispatch import TorchDispatchMode

    class Bounded(TorchDispatchMode):
        """Counts the values of tensors that are made new, before their memory is taken."""

        values = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
                self.values += math.prod(args[0])
                if self.values > request["values"]:
                    raise ChildError(f"The network would have more than {request['values'] / 1e6:.0f} million weights.")
            return func(*args, **(kwargs or {}))

    target = request["target"]
    try:
        with Bounded():
            network = getattr(nets, target)(**request["arguments"])
    except ChildError:
        raise
    # Arguments out of a file may fail in any way inside.
    except Exception as error:
        raise ChildError(f"MONAI's {target} cannot be built: {' '.join(str(error).split())[:300]}.") from error
    weights = Path(request["folder"]) / request["weights"]
    state: Any
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(weights)
    else:
        with nothing_executed():
            state = torch.load(weights, map_location="cpu")
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
            break
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ChildError(
            f"The weights do not fit the network of the configuration: {' '.join(str(error).split())[:300]}"
        ) from error
    return network.to(request.get("device", "cpu")).eval()


def segment(request: dict[str, Any], network: Any, folder: Path, tell: Telling) -> str:
    """Prepare the volume as the bundle does, show it to the network tile by tile, and put the answer back."""
    import numpy as np
    import torch
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import SpatialResample

    affine = torch.tensor(request["affine"], dtype=torch.float64)
    voxels = torch.from_numpy(np.load(request["input"])).permute(2, 1, 0)[None]
    size = tuple(voxels.shape[1:])
    require_memory(_BYTES * math.prod(size), what="MONAI")
    tell("MONAI: preparing the images", 0.06)
    prepared = prepare(MetaTensor(voxels, affine=affine), request["transforms"])
    del voxels
    device = request.get("device", "cpu")
    roi = request["roi"] or list(prepared.shape[1:])
    count, done, began = tiles(prepared.shape[1:], roi, request["overlap"]), 0, monotonic()

    def ask(patch: Any) -> Any:
        nonlocal done
        answer = network(patch)
        done = min(done + 1, count)
        left = time_left(monotonic() - began, done, count)
        tell(f"MONAI: tile {done} of {count}{left}", 0.1 + 0.8 * done / count)
        answer = answer[0] if isinstance(answer, list | tuple) else answer
        if request["exclusive"]:
            return torch.softmax(answer.float(), dim=1)[:, request["classes"]].sum(dim=1, keepdim=True)
        return torch.sigmoid(answer.float())[:, request["classes"]].amax(dim=1, keepdim=True)

    inferer = SlidingWindowInferer(
        roi,
        sw_batch_size=1,
        overlap=request["overlap"],
        mode=request["blend"],
        padding_mode=request["padding"],
        sw_device=device,
        device="cpu",
    )
    with torch.inference_mode():
        where = prepared.affine
        probability = inferer(prepared.as_tensor()[None].float(), ask)[0]
    del prepared
    tell("MONAI: putting the answer on the study's grid", 0.92)
    # A voxel more on each side: a voxel of the study may lie half a voxel outside of the outermost ones here.
    wide: Any = torch.nn.functional.pad(probability[None], (1,) * 6, mode="replicate")[0]
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = -1
    wide = MetaTensor(wide, affine=where @ shift)
    back = SpatialResample(mode="bilinear", padding_mode="zeros", align_corners=True, dtype=np.float32)
    placed = np.empty(size[::-1], np.float32)
    # Some slices at a time: where each voxel comes from takes three numbers.
    for first in range(0, size[2], _SLICES):
        last = min(first + _SLICES, size[2])
        shift[:3, 3] = torch.tensor((0, 0, first))
        part: Any = back(wide, dst_affine=affine @ shift, spatial_size=(*size[:2], last - first))
        placed[first:last] = part.as_tensor()[0].permute(2, 1, 0).clamp(0, 1).numpy()
    target = folder / "probability.npy"
    np.save(target, placed)
    tell("MONAI is done", 1.0)
    return target.name


def prepare(image: Any, steps: list[dict[str, Any]]) -> Any:
    """Apply MONAI's own transforms, in order."""
    from monai import transforms

    for step in steps:
        arguments = dict(step["arguments"])
        if step["name"] == "CropForeground":
            arguments["source_key"] = "image"
        try:
            image = getattr(transforms, f"{step['name']}d")(keys=["image"], **arguments)({"image": image})["image"]
        # Arguments out of a file may fail in any way inside.
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise ChildError(f"The bundle's {step['name']} cannot be applied: {told}.") from error
    return image


def tiles(size: Any, roi: list[int], overlap: float) -> int:
    """Return how many tiles cover a volume, as MONAI places them."""
    count = 1
    for side, tile in zip(size, roi, strict=True):
        step = tile if side <= tile else max(1, int(tile * (1 - overlap)))
        count *= 1 + math.ceil(max(0, side - tile) / step)
    return count


if __name__ == "__main__":
    sys.exit(serve(work))
