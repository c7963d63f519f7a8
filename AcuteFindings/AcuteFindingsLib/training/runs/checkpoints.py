"""Checkpoints that are either whole or not there, whenever a run is killed."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from AcuteFindingsLib.files import replace_when_written

BEST, LAST = "best", "last"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own writes into the system's temporary folder and moves the file from there. On another file system, as
    on most clusters, that is a copy, and a run that is killed meanwhile leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint."""
        del storage_options
        with replace_when_written(Path(path)) as partial:
            torch.save(checkpoint, partial)


def epoch_checkpoints(folder: Path, *, best: bool) -> ModelCheckpoint:
    """Return the callback that keeps the last epoch and, where `best`, that with the lowest validation loss."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=BEST,
        monitor="val_loss" if best else None,
        save_top_k=1 if best else 0,
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def kept_file(folder: Path, *, best: bool) -> Path:
    """Return the checkpoint whose weights a stage hands on."""
    return folder / f"{BEST if best and (folder / f'{BEST}.ckpt').is_file() else LAST}.ckpt"


def network_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the network's tensors in a checkpoint of a stage."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
