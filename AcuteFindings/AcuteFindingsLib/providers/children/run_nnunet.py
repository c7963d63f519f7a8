"""A trained nnU-Net on one NIfTI file: ``do`` is ``"version"``, ``"check"`` or ``"run"``; see `child_tools`.

Request: ``folder`` (of the trained network) and ``folds``; for a run also ``input`` (file), ``device`` (``"cpu"``,
``"cuda:N"``), ``classes`` (numbers of the outputs that are meant), ``exclusive`` (whether outputs exclude each other)
and ``mirroring``. Result: ``version``; for a check ``configuration`` and ``trainer``; for a run ``probability`` (file
with each voxel's probability, float32 on the input's grid ``(z, y, x)``).
"""

import importlib.metadata
import math
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from child_tools import ChildError, Telling, nothing_executed, require_memory, serve, time_left


def work(request: dict[str, Any], folder: Path, tell: Telling) -> dict[str, Any]:
    """Say the version, check or run."""
    result: dict[str, Any] = {"version": importlib.metadata.version("nnunetv2")}
    if request["do"] == "version":
        return result
    tell("Starting nnU-Net", 0.0)
    predictor = load(request, tell)
    result |= {
        "configuration": predictor.configuration_manager.configuration.get("data_identifier", ""),
        "trainer": predictor.trainer_name,
    }
    if request["do"] == "run":
        result["probability"] = segment(request, predictor, folder, tell)
    return result


def load(request: dict[str, Any], tell: Telling) -> Any:
    """Build the network and read its weights."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Predictor(nnUNetPredictor):
        """Says how far it is."""

        done, count, began = 0, 1, 0.0

        def _internal_get_sliding_window_slicers(self, image_size: Any) -> Any:
            slicers = super()._internal_get_sliding_window_slicers(image_size)
            self.count = len(slicers) * len(self.list_of_parameters)
            self.began = self.began or monotonic()
            return slicers

        def _internal_maybe_mirror_and_predict(self, x: Any) -> Any:
            answer = super()._internal_maybe_mirror_and_predict(x)
            self.done = min(self.done + 1, self.count)
            left = time_left(monotonic() - self.began, self.done, self.count)
            tell(f"nnU-Net: tile {self.done} of {self.count}{left}", 0.1 + 0.8 * self.done / self.count)
            return answer

    device = torch.device(request.get("device", "cpu"))
    predictor = Predictor(
        use_mirroring=bool(request.get("mirroring")),
        perform_everything_on_device=device.type == "cuda",
        device=device,
        allow_tqdm=False,
    )
    try:
        with nothing_executed():
            predictor.initialize_from_trained_model_folder(
                request["folder"], tuple(request["folds"]), "checkpoint_final.pth"
            )
    except RuntimeError as error:
        if "trainer" in str(error).lower():
            raise ChildError(
                "The network was trained with a trainer that is not in the installed nnU-Net; where it does not change "
                "the network, nnU-Net's own name (nnUNetTrainer) in the checkpoint helps."
            ) from error
        raise ChildError(
            f"The weights do not fit the network of the plans: {' '.join(str(error).split())[:300]}"
        ) from error
    if predictor.configuration_manager.previous_stage_name is not None:
        raise ChildError(
            "The network is the second stage of a cascade, which needs the masks of the first; add 3d_fullres or "
            "3d_lowres."
        )
    tell("nnU-Net: the weights are read", 0.05)
    return predictor


def segment(request: dict[str, Any], predictor: Any, folder: Path, tell: Telling) -> str:
    """Run the package's own inference on the file."""
    import numpy as np

    reader = predictor.plans_manager.image_reader_writer_class()
    image, properties = reader.read_images([request["input"]])
    needed = memory_needed(
        image.shape[1:],
        properties["spacing"],
        predictor.configuration_manager.spacing,
        predictor.label_manager.num_segmentation_heads,
    )
    require_memory(needed, what="nnU-Net")
    tell("nnU-Net: resampling", 0.08)
    _, every = predictor.predict_single_npy_array(image, properties, None, None, save_or_return_probabilities=True)
    chosen = np.asarray(every)[request["classes"]]
    # Of outputs that exclude each other the sum; else the highest.
    probability = chosen.sum(axis=0) if request["exclusive"] else chosen.max(axis=0)
    del every, chosen
    tell("nnU-Net: writing", 0.95)
    target = folder / "probability.npy"
    np.save(target, on_input_grid(np.clip(probability, 0, 1).astype(np.float32, copy=False), properties))
    tell("nnU-Net is done", 1.0)
    return target.name


def memory_needed(shape: Any, spacing: Any, network_spacing: Any, outputs: int) -> float:
    """Return about how many bytes nnU-Net takes at its peak.

    On the study's grid 22 bytes a voxel and output, measured with nnU-Net 2.8 (100 slices of 512x512, 3 outputs); on
    the network's grid two bytes an output and twelve more.
    """
    voxels = float(math.prod(shape))
    # A network of pictures leaves the distance of slices as it is.
    resampled = voxels * math.prod(list(spacing)[-len(network_spacing) :]) / math.prod(network_spacing)
    return 22 * voxels * outputs + resampled * (2 * outputs + 12)


def on_input_grid(array: Any, properties: dict[str, Any]) -> Any:
    """Undo what a reader of nnU-Net that turns images to RAS has done."""
    import numpy as np

    turned = properties.get("nibabel_stuff", {})
    if "reoriented_affine" in turned:
        import nibabel
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        back = ornt_transform(axcodes2ornt("RAS"), io_orientation(turned["original_affine"]))
        image = nibabel.Nifti1Image(array.transpose(2, 1, 0), turned["reoriented_affine"]).as_reoriented(back)
        return np.asarray(image.dataobj).transpose(2, 1, 0)
    turned = properties.get("sitk_stuff", {})
    if "original_orientation" in turned:
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(array)
        image.SetDirection(turned["direction"])
        return sitk.GetArrayFromImage(sitk.DICOMOrient(image, turned["original_orientation"]))
    return array


if __name__ == "__main__":
    sys.exit(serve(work))
