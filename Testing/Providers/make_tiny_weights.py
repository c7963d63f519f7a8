"""Write nnU-Net weights of the shape that TotalSegmentator looks for, tiny and random: no download in tests.

python make_tiny_weights.py RESULTS_FOLDER NUMBER...

Run with the Python of the environment that holds TotalSegmentator. A network that TotalSegmentator crops with finds its
crop class everywhere; the others see what random weights see.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tiny_plans import plans_of
from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS
from totalsegmentator.map_to_binary import class_map

TRAINERS = {
    297: "nnUNetTrainer_4000epochs_NoMirroring",
    298: "nnUNetTrainer_4000epochs_NoMirroring",
    150: "nnUNetTrainer",
    117: "nnUNetTrainerSkeletonRecall",
    301: "nnUNetTrainer",
}
TASKS = {297: "total", 298: "total", 150: "cerebral_bleed", 117: "lung_vessels", 301: "heartchambers_highres"}
CROPPED_TO = {298: "brain", 297: "lung_upper_lobe_left"}


def write(results: Path, number: int) -> Path:
    name, task = TASK_ID_WEIGHTS_CONFIGS[number]["foldername"], TASKS[number]
    labels = {"background": 0, **{label: value for value, label in class_map[task].items()}}
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    plans = plans_of(name)
    manager = PlansManager(plans)
    configuration = manager.get_configuration("3d_fullres")
    torch.manual_seed(number)
    trainer = recursive_find_trainer_class_by_name("nnUNetTrainer")
    network = trainer.build_network_architecture(manager, configuration, 1, len(labels), enable_deep_supervision=False)
    state = network.state_dict()
    if number in CROPPED_TO:
        # Everything belongs to the class that is cropped to.
        last = max(key for key in state if key.startswith("decoder.seg_layers") and key.endswith("bias"))
        state[last][labels[CROPPED_TO[number]]] += 100.0
    folder = results / name / f"{TRAINERS[number]}__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    checkpoint = {
        "network_weights": state,
        "trainer_name": TRAINERS[number],
        "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": 0, "dataset_json": dataset},
        "inference_allowed_mirroring_axes": (0, 1, 2),
        # Real checkpoints carry the training log with NumPy numbers.
        "logging": {"mean_fg_dice": [np.float64(0.5)], "ema_fg_dice": [np.float32(0.5)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1000,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


if __name__ == "__main__":
    for number in sys.argv[2:]:
        print(write(Path(sys.argv[1]), int(number)))
