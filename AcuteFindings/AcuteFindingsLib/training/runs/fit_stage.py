"""One stage through Lightning's loop: loaders, callbacks, loggers, and where it goes on after a kill."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.progress import Progress
from AcuteFindingsLib.training.depthwise import SingleDepthwise
from AcuteFindingsLib.training.recipes.plans import TrainStage
from AcuteFindingsLib.training.recipes.schema import Recipe
from AcuteFindingsLib.training.runs.batches import join
from AcuteFindingsLib.training.runs.checkpoints import (
    LAST,
    WholeCheckpoints,
    epoch_checkpoints,
    kept_file,
    network_state,
)
from AcuteFindingsLib.training.runs.module import StageModule
from AcuteFindingsLib.training.runs.order import EpochOrder
from AcuteFindingsLib.training.runs.start import start_from_frequency

DONE = "stage.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Hardware:
    """On what a run runs; passed to Lightning as it is.

    Attributes
    ----------
    accelerator
        ``"auto"``, ``"cpu"``, ``"gpu"`` ...
    devices, nodes, strategy
        As `lightning.Trainer` takes them: ``devices="4", strategy="ddp"`` for four cards of one machine,
        ``devices=(1,)`` for the second card.
    workers
        Processes that read arrays ahead.
    tell
        Takes one line for each thing that a person wants to read again later.
    """

    accelerator: str = "auto"
    devices: str | int | tuple[int, ...] = 1
    nodes: int = 1
    strategy: str = "auto"
    workers: int = 0
    tell: Callable[[str], None] = field(default=print)

    @property
    def torch_device(self) -> str:
        """Return what torch calls the accelerator, or ``"auto"``."""
        name = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu"}.get(self.accelerator, "auto")
        return f"{name}:{self.devices[0]}" if name == "cuda" and isinstance(self.devices, tuple) else name


def fit_stage(
    network: nn.Module,
    recipe: Recipe,
    stage: str,
    *,
    train: Any,
    validation: Any,
    folder: Path,
    hardware: Hardware,
    seed: int,
    resume: bool,
    progress: Progress,
    plan: TrainStage | None = None,
) -> dict[str, Any]:
    """Fit one stage and leave its kept weights in `network`.

    Parameters
    ----------
    train, validation
        Sets of `batches`; an empty validation set keeps the last epoch.
    folder
        Receives ``checkpoints`` after each epoch, ``csv`` and ``tensorboard`` logs, and ``stage.json``
        when the stage is done.
    resume
        Go on after the last whole epoch that `folder` holds; a stage that is done is only loaded.
    plan
        How it is fitted; left out, as the recipe says of the stage.

    Returns
    -------
    dict
        What ``stage.json`` says: epochs, best validation loss and which checkpoint was kept.
    """
    plan = plan or recipe.stages.fitted(stage)
    given = deepcopy(network).cpu().state_dict() if plan.blend < 1 else {}
    best = plan.keep == "best" and len(validation) > 0
    done = folder / DONE
    if resume and done.is_file():
        _keep(network, network_state(kept_file(folder / CHECKPOINTS, best=best)), given, plan)
        return dict(json.loads(done.read_text(encoding="utf-8")))
    order = EpochOrder(train.positive, plan.sampler, epochs=plan.epochs, seed=seed, sources=train.sources)
    batch = min(plan.batch, len(order))
    loaders = [_loader(train, batch, hardware, order=order)]
    if len(validation):
        loaders.append(_loader(validation, 1 if stage == "scan" else plan.batch, hardware))
    steps = len(loaders[0])
    if plan.start_from_frequency:
        start_from_frequency(network, [item.labels for item in train.items])
    module = StageModule(network, recipe, stage, steps=steps, seed=seed, plan=plan)
    checkpoints = epoch_checkpoints(folder / CHECKPOINTS, best=best)
    trainer = lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=list(hardware.devices) if isinstance(hardware.devices, tuple) else hardware.devices,
        num_nodes=hardware.nodes,
        strategy=hardware.strategy,
        precision=recipe.precision,
        max_epochs=plan.epochs,
        gradient_clip_val=plan.optimiser.clip,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=min(steps, 20),
        plugins=[WholeCheckpoints()],
        callbacks=[
            checkpoints,
            SingleDepthwise(),
            *_callbacks(plan, _Told(stage, plan, steps, hardware.tell, progress), validated=len(validation) > 0),
        ],
        logger=[
            CSVLogger(folder, name="csv", flush_logs_every_n_steps=1),
            TensorBoardLogger(folder, name="tensorboard", version=""),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    # Encoding and scoring leave it in evaluation mode, which Lightning would keep; several devices want to know before
    # they start which weights are fitted.
    network.train().requires_grad_(False)
    module.part.requires_grad_(True)
    last = folder / CHECKPOINTS / f"{LAST}.ckpt"
    trainer.fit(
        module,
        train_dataloaders=loaders[0],
        val_dataloaders=loaders[1:] or None,
        ckpt_path=last if resume and last.is_file() else None,
        weights_only=True,
    )
    _keep(network, network_state(kept_file(folder / CHECKPOINTS, best=best)), given, plan)
    network.requires_grad_(True)
    told = {
        "stage": stage,
        "epochs": trainer.current_epoch,
        "kept": "best" if best else "last",
        "best_val_loss": float(checkpoints.best_model_score) if checkpoints.best_model_score is not None else None,
        "examples": len(train),
        "validation_examples": len(validation),
    }
    if trainer.is_global_zero:
        with replace_when_written(done) as partial:
            partial.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return told


def _keep(network: nn.Module, fitted: dict[str, Any], given: dict[str, Any], plan: TrainStage) -> None:
    """Load what was fitted, or what lies between that and what was given."""
    for name, before in given.items():
        if before.is_floating_point():
            fitted[name] = torch.lerp(before, fitted[name], plan.blend)
    network.load_state_dict(fitted)


def _loader(examples: Dataset[Any], batch: int, hardware: Hardware, *, order: EpochOrder | None = None) -> Any:
    ahead: dict[str, Any] = {}
    if hardware.workers:
        # Started fresh, not forked: a fork of a process with running threads can hang.
        ahead = {"multiprocessing_context": "spawn", "prefetch_factor": 4, "persistent_workers": True}
    return DataLoader(
        examples,
        num_workers=hardware.workers,
        batch_size=batch,
        sampler=order,
        collate_fn=join,
        # Batch norm needs more than one picture.
        drop_last=order is not None and len(order) > batch,
        # Loaders draw their workers' seed from here, not from what the epoch was seeded with.
        generator=torch.Generator(),
        **ahead,
    )


def _callbacks(plan: TrainStage, told: Callback, *, validated: bool) -> list[Callback]:
    callbacks: list[Callback] = [LearningRateMonitor(logging_interval="epoch")]
    if plan.patience and validated:
        callbacks.append(EarlyStopping("val_loss", patience=plan.patience, mode="min", check_on_train_epoch_end=True))
    return [*callbacks, told]


class _Told(Callback):
    """One line an epoch, and how far the stage is after each step."""

    def __init__(
        self, stage: str, plan: TrainStage, steps: int, tell: Callable[[str], None], progress: Progress
    ) -> None:
        self.stage, self.plan, self.steps = stage, plan, steps
        self.tell, self.progress = tell, progress

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Tell how far the stage is."""
        if trainer.is_global_zero:
            text = f"{self.stage}: epoch {trainer.current_epoch + 1} of {self.plan.epochs}"
            self.progress(text, trainer.global_step / (self.plan.epochs * self.steps))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Tell what the epoch came to."""
        if not trainer.is_global_zero:
            return
        shown = {"train_loss": "loss", "val_loss": "validation loss", "val_auc": "AUC", "val_dice": "Dice"}
        values = trainer.callback_metrics
        figures = [f"{words} {float(values[name]):.4f}" for name, words in shown.items() if name in values]
        self.tell(f"{self.stage}: epoch {trainer.current_epoch + 1} of {self.plan.epochs}, {', '.join(figures)}")
