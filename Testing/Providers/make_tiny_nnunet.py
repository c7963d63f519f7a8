"""Write a trained nnU-Net of two folds, tiny and random, and what it answers for one tile.

python make_tiny_nnunet.py FOLDER VOLUME.npy

Run with the Python of an environment that holds nnU-Net's networks. VOLUME is float32 HU ``(z, y, x)`` of the size of a
tile. Beside the network's folder, ``expected.npy`` holds the softmax of the folds' mean logits ``(class, z, y, x)``,
composed without nnU-Net; ``turned.npy`` the same of the volume turned to RAS.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from tiny_plans import PATCH, plans_of

LABELS = {"background": 0, "vessel": 1, "embolus": 2}


def network(seed: int, arguments: dict) -> PlainConvUNet:
    torch.manual_seed(seed)
    layers = {
        "conv_op": torch.nn.Conv3d,
        "norm_op": torch.nn.InstanceNorm3d,
        "nonlin": torch.nn.LeakyReLU,
        "dropout_op": None,
    }
    return PlainConvUNet(input_channels=1, num_classes=len(LABELS), deep_supervision=False, **{**arguments, **layers})


def main(folder: Path, volume: Path) -> None:
    plans = plans_of("Dataset500_Tiny")
    dataset = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 1, "file_ending": ".nii.gz"}
    configuration = plans["configurations"]["3d_fullres"]
    trained = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    trained.mkdir(parents=True)
    (trained / "plans.json").write_text(json.dumps(plans))
    (trained / "dataset.json").write_text(json.dumps(dataset))
    known = plans["foreground_intensity_properties_per_channel"]["0"]
    image = np.load(volume)
    assert list(image.shape) == PATCH
    shown = (np.clip(image, known["percentile_00_5"], known["percentile_99_5"]) - known["mean"]) / known["std"]
    logits = {"expected": 0.0, "turned": 0.0}
    for fold in range(2):
        tiny = network(fold, configuration["architecture"]["arch_kwargs"]).eval()
        (trained / f"fold_{fold}").mkdir()
        checkpoint = {
            "network_weights": tiny.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": fold, "dataset_json": dataset},
            "inference_allowed_mirroring_axes": (0, 1, 2),
            "logging": {"mean_fg_dice": [np.float64(0.5)]},
        }
        torch.save(checkpoint, trained / f"fold_{fold}" / "checkpoint_final.pth")
        with torch.inference_mode():
            for name, turn in (("expected", ()), ("turned", (1, 2))):
                # Rows and columns run to the back and to the left; in RAS they run the other way.
                tile = torch.from_numpy(np.flip(shown, turn).astype(np.float32).copy())[None, None]
                logits[name] = logits[name] + np.flip(tiny(tile)[0].numpy(), [axis + 1 for axis in turn]) / 2
    for name, sums in logits.items():
        raised = np.exp(sums - sums.max(axis=0))
        np.save(folder / f"{name}.npy", raised / raised.sum(axis=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
