"""BLAST-CT on one NIfTI file: ``do`` is ``"prepare"`` (fetch weights) or ``"run"``; see `child_tools`.

Request: for a run ``input`` (file) and ``device`` (``"cpu"`` or a CUDA number). Result: ``version``, ``sha256``, and
for a run ``prediction`` (file with the labels) and ``bleeding`` (file with each voxel's probability of any bleed), both
on the input's grid.
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from child_tools import ChildError, Telling, file_sha256, serve

BLEEDS = (1, 2, 4)
"""Output numbers of intraparenchymal, extra-axial and intraventricular hemorrhage; 3 is edema."""

BATCH_CPU = 4
"""Patches of 110³ at once without a graphics card: 0.5 GB each pass through the network's widest layer."""


def work(request: dict[str, Any], folder: Path, tell: Telling) -> dict[str, Any]:
    """Prepare or run."""
    tell("Starting BLAST-CT", 0.0)
    from blast_ct.assets import get_model_path

    tell("Fetching the weights of BLAST-CT where they are not there yet", 0.02)
    try:
        weights = Path(get_model_path(1))
    except OSError as error:
        raise ChildError(
            f"The weights of BLAST-CT could not be fetched ({type(error).__name__}): check the connection and the "
            "proxy, or run `python -c 'from blast_ct.assets import prefetch_all; prefetch_all()'` where there is one "
            "and copy its cache folder here."
        ) from error
    result: dict[str, Any] = {"version": importlib.metadata.version("blast-ct"), "sha256": file_sha256(weights)}
    if request["do"] == "run":
        result.update(segment(request, weights, folder, tell))
    return result


def segment(request: dict[str, Any], weights: Path, folder: Path, tell: Telling) -> dict[str, Any]:
    """Run the package's own inference on the file."""
    import pandas
    from blast_ct.assets import get_config_path
    from blast_ct.nifti.savers import NiftiPatchSaver
    from blast_ct.read_config import get_model, get_test_loader
    from blast_ct.train import set_device
    from blast_ct.trainer.inference import ModelInference

    config = json.loads(Path(get_config_path()).read_text(encoding="utf-8"))
    device = set_device(request["device"])
    if device.type == "cpu":
        config["test"]["batch_size"] = BATCH_CPU
    # In this process: a loader's own process could outlive a cancelled run.
    config["test"]["num_workers"] = 0
    table = folder / "images.csv"
    pandas.DataFrame([["image", request["input"]]], columns=["id", "image"]).to_csv(table, index=False)
    model = get_model(config)
    loader = get_test_loader(config, model, str(table), use_cuda=device.type != "cpu")
    count = len(loader)

    class Inference(ModelInference):
        """Adds each voxel's probability of any bleed to what the package keeps, and says how far it is."""

        def inference(self, dataloader: Any) -> Any:
            """Yield the package's own answer for every batch of patches."""
            for number, state in enumerate(super().inference(dataloader)):
                state["bleeding"] = state["prob"][:, list(BLEEDS)].sum(dim=1)
                tell(f"BLAST-CT: {number + 1} of {count} batches", 0.05 + 0.9 * (number + 1) / count)
                yield state

    saver = NiftiPatchSaver(str(folder), loader, write_prob_maps=False, extra_output_names=["bleeding"])
    Inference(str(folder), device, model, saver, str(weights), "segmentation")(loader)
    files = {name: folder / "predictions" / f"image_{name}.nii.gz" for name in ("prediction", "bleeding")}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise ChildError(f"BLAST-CT wrote no {' and no '.join(missing)}; is there room on the disk?")
    tell("BLAST-CT is done", 1.0)
    return {name: str(file.relative_to(folder)) for name, file in files.items()}


if __name__ == "__main__":
    sys.exit(serve(work))
