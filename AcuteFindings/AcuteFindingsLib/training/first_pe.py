"""The first PE model: slice encoder and sequence network of SOURCES.md 1 on a small backbone, fitted to phantoms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.pe import PEDetector, PESettings
from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.backbones import PooledBackbone
from AcuteFindingsLib.networks.mask_decoder import MASK_FEATURES
from AcuteFindingsLib.networks.pe import PEModel, SliceEncoder
from AcuteFindingsLib.training.augment import mask_loss
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.clot_slices import (
    BATCH,
    CLOSE_BATCH,
    close_ups,
    missed_clots,
    mistaken_places,
    read_slices,
    whole_slices,
)
from AcuteFindingsLib.training.first_arrays import EXAM, ctpa_arrays
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.held_out import held_out_aucs
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TRAIN_SEED, TUNE_SEED, Arrays, phantom_arrays
from AcuteFindingsLib.training.real_lesions import measure_drawn_clots
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.stages import stored_precision
from AcuteFindingsLib.training.trained import Trained

ID = "pe-sequence-small"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "encoder": {"backbone": "tf_efficientnet_lite0", "in_channels": 3, "decoder": True, "pretrained": True},
    "sequence": {"exam_head": True, "stack_top": 8, "residual": True},
}
NETWORK = Network(name="pe", arguments=stored_arguments(ARGUMENTS))
# The finest layers keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
SETTINGS = PESettings(size=256, crop=True, channels=3, adjacent=True)
FINE_STEPS = 2200
# Then, with chests of many clots, close-ups of what the network so far misses or takes for a clot: steps and rate.
CLOSE_UPS = ((800, 6e-4), (500, 5e-4), (750, 5e-4))
MANY_SHARE = 0.55
MANY_SEED = 1000
# Studies for the sequence network that the encoder was not fitted to, a quarter as many and three times as often: on
# those that it was fitted to, its masks are better than they will be.
UNSEEN_SHARE, UNSEEN_VIEWS = 0.25, 3
OWN_STEPS, OWN_BATCH = 150, 256
# Few: on more, the sequence network learns the fitted studies by heart (tuning phantoms got worse from 350 steps on).
STACK_STEPS = 200
# How the stack output starts: most of it is the most suspicious slice.
STACK_START = (0.5, 0.2, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02)
_DRAWN = "drawn-clots.png"
_CAPTION = (
    "Clots drawn into the pulmonary artery of the one real CT angiogram at hand, each volume at the slice with most of "
    "it, with the probabilities of that slice and of the study; what the same volumes without clots get is among the "
    "figures. All are one patient: they show, they do not measure. Image: test data of TotalSegmentator, "
    "Apache-2.0."
)
CHANGELOG = {
    "0.1.0": "first model",
    "0.2.0": "more steps, chests with many clots, a stack output that does not ask where a clot lies",
    "0.3.0": "sees the slices beside the one it judges; fitted to close-ups of what it missed or took for a clot",
    "0.3.1": "the same weights; clots drawn into a real CT angiogram on the card",
}


def train(cache: Path, *, studies: int, steps: int, tests: int, workers: int, data: Path | None = None) -> Trained:
    """Fit the encoder, then its head with the sequence network; choose operating points; measure.

    Where `data` holds a real CT angiogram, the card also says what becomes of clots drawn into it.
    """
    sets = _sets(cache, TRAIN_SEED, studies, workers)
    tuning = _sets(cache, TUNE_SEED, max(20, tests // 4), workers)
    torch.manual_seed(0)
    network = cast(PEModel, build_network(NETWORK.name, ARGUMENTS))
    generator = np.random.default_rng(0)
    # First where in the picture a clot is, roughly and fast; from there, its outline.
    coarse = SliceEncoder(**{**ARGUMENTS["encoder"], "decoder": False})
    _freeze(coarse)
    fit(Located(coarse), whole_slices(sets, steps, generator), _slice_loss, steps=steps, rate=1e-3)
    encoder = network.encoder
    encoder.backbone.load_state_dict(_shared(coarse.backbone, encoder.backbone))
    _freeze(encoder)
    fine = min(FINE_STEPS, 4 * steps)
    fit(encoder, whole_slices(sets, fine, generator), _mask_loss, steps=fine, rate=1e-3)
    together = sets + _sets(cache, MANY_SEED, max(2, round(MANY_SHARE * studies)), workers, burden="many")
    for limit, rate in CLOSE_UPS:
        close = min(limit, 2 * steps)
        missed, mistaken = missed_clots(encoder, together), mistaken_places(encoder, sets)
        batches = close_ups(together, missed, mistaken, close, generator)
        fit(encoder, batches, _outline_loss, steps=close, rate=rate, hold_norms=True)
    unseen = _sets(cache, TRAIN_SEED + studies, _unseen(studies), workers)
    _fit_sequence(network, [*sets, *unseen * UNSEEN_VIEWS], min(STACK_STEPS, 4 * steps), generator)
    network.load_state_dict(stored_precision(network.state_dict()))
    card = _card(studies, steps, *_operating_points(network, tuning), evaluation=[])
    return with_figures(network, card, evaluate(network, card, tests=tests), data=data)


def with_figures(network: nn.Module, card: Card, figures: list[Interval], *, data: Path | None) -> Trained:
    """Return what the package says: `figures` on phantoms and, where there is `data`, on clots drawn into a real CT."""
    pictures, documents = [], {}
    if data is not None:
        drawn, panels = measure_drawn_clots(PEDetector(MemoryPredictor(network, card)).run, data)
        figures, pictures = [*figures, *drawn], [Picture(file=_DRAWN, caption=_CAPTION)]
        documents = {_DRAWN: sheet_bytes(panels, columns=4)}
    card = card.model_copy(update={"evaluation": figures, "pictures": pictures})
    return Trained(network, card, documents=documents, changelog=CHANGELOG)


def _unseen(studies: int) -> int:
    return max(2, round(UNSEEN_SHARE * studies))


def _fit_sequence(network: PEModel, sets: list[Arrays], rounds: int, generator: np.random.Generator) -> None:
    """Fit what reads the masks: a slice's own answer first, then what its neighbours add, from that on.

    The hidden layer is left the mask's numbers alone. The means over a slice, of which there are a thousand, are learnt
    by heart on so few studies.
    """
    known = {id(item): _mask_numbers(network, item) for item in sets}
    stacks = [known[id(item)] for item in sets]
    with torch.no_grad():
        network.encoder.hidden.weight[:, :-MASK_FEATURES] = 0
    features, labels = np.concatenate(stacks), np.concatenate([item["slices"] for item in sets])
    # As many slices with a clot as without.
    share = np.where(labels > 0, 1 / max(labels.sum(), 1), 1 / max((labels == 0).sum(), 1))
    share /= share.sum()
    batches = (
        {"features": torch.from_numpy(features[chosen]), "labels": torch.from_numpy(labels[chosen, None]).float()}
        for chosen in (generator.choice(len(labels), OWN_BATCH, p=share) for _ in range(OWN_STEPS))
    )
    fit(network.encoder, batches, _own_loss, steps=OWN_STEPS, rate=2e-3)
    sequence = network.sequence_network
    sequence.own.load_state_dict(network.encoder.output.state_dict())
    last = cast(nn.Linear, sequence.slices[-1])
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    nn.init.zeros_(sequence.stack.bias)
    with torch.no_grad():
        sequence.stack.weight[0] = torch.tensor(STACK_START)
    fit(network, _stack_batches(stacks, sets, rounds, generator), _stack_loss, steps=rounds, rate=7e-4)


def _features(network: PEModel, item: Arrays) -> np.ndarray:
    return read_slices(network.encoder, item, np.arange(len(item["slices"])), "features").numpy()


def _mask_numbers(network: PEModel, item: Arrays) -> np.ndarray:
    """Return what the hidden layer reads of each slice, the mask's numbers alone and the rest 0."""
    features = _features(network, item)
    features[:, :-MASK_FEATURES] = 0
    return features


def _own_loss(encoder: SliceEncoder, batch: dict[str, Tensor]) -> Tensor:
    logits = encoder.head(batch["features"])["slice"].float()
    return functional.binary_cross_entropy_with_logits(logits, batch["labels"])


def _sets(cache: Path, first: int, count: int, workers: int, **options: Any) -> list[Arrays]:
    return phantom_arrays(
        ctpa_arrays,
        range(first, first + count),
        cache=cache,
        workers=workers,
        sources=("phantoms/ctpa*.py", "detectors/pe.py"),
        settings=SETTINGS.model_dump(),
        matrix=320,
        **options,
    )


def evaluate(network: nn.Module, card: Card, *, tests: int) -> list[Interval]:
    """Run the detector itself on phantoms that nothing was fitted or tuned on, at full matrix."""
    detector = PEDetector(MemoryPredictor(network, card))
    return held_out_aucs(detector.run, "ctpa", "pe", name="CTPA", tests=tests, command=command_for("pe"))


class Located(nn.Module):
    """The slice encoder with one more layer, for fitting only, that says where in the picture the clot is.

    Slice labels alone leave a small clot to chance on so few studies; as in RADnet (SOURCES.md 4) a mask draws the
    attention to it.
    """

    def __init__(self, encoder: SliceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.where = nn.Conv2d(cast(PooledBackbone, encoder.backbone).features, 1, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the encoder's outputs and ``"where"``: logits ``(n, 1, y', x')`` on its last feature map."""
        kept: list[Tensor] = []
        handle = cast(PooledBackbone, self.encoder.backbone).feature_map.register_forward_hook(
            lambda _m, _i, output: kept.append(output)
        )
        outputs = self.encoder(images)
        handle.remove()
        return {**outputs, "where": self.where(kept[0])}


def _slice_loss(located: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    outputs = located(batch["images"])
    where = functional.adaptive_max_pool2d(batch["where"], outputs["where"].shape[-2:])
    slices = functional.binary_cross_entropy_with_logits(outputs["slice"].float(), batch["labels"])
    weight = torch.full_like(where[:1], 10.0)
    place = functional.binary_cross_entropy_with_logits(outputs["where"].float(), where, pos_weight=weight[0])
    return slices + place


def _freeze(encoder: SliceEncoder) -> None:
    """Hold the first layers fixed, but not the very first: ImageNet's three channels were colours, not slices."""
    encoder.freeze_first(FROZEN_SHARE)
    next(module for module in encoder.modules() if isinstance(module, nn.Conv2d)).requires_grad_(True)


def _shared(coarse: nn.Module, pyramid: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the coarse encoder's backbone that the pyramid has too: all but its last convolution."""
    wanted = pyramid.state_dict()
    return {name: value for name, value in coarse.state_dict().items() if name in wanted}


def _outline_loss(encoder: SliceEncoder, batch: dict[str, Tensor]) -> Tensor:
    return _against_truth(encoder.features(batch["images"])["mask"], batch["where"])


def _mask_loss(encoder: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    outputs = encoder(batch["images"])
    slices = functional.binary_cross_entropy_with_logits(outputs["slice"].float(), batch["labels"])
    return slices + _against_truth(outputs["mask"], batch["where"])


def _against_truth(mask: Tensor, where: Tensor) -> Tensor:
    share = functional.interpolate(where, mask.shape[-2:], mode="area")
    return mask_loss(mask, (share >= 0.5).float())


def _stack_batches(
    stacks: list[np.ndarray], sets: list[Arrays], steps: int, generator: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    length = SETTINGS.window
    for _ in range(steps):
        batch: dict[str, list[np.ndarray]] = {"features": [], "valid": [], "slices": [], "exam": [], "stack": []}
        for number in generator.integers(len(stacks), size=16):
            features, truth = stacks[number], sets[number]
            start = int(generator.integers(max(len(features) - length, 0) + 1))
            piece, labels = features[start : start + length], truth["slices"][start : start + length]
            pad = length - len(piece)
            batch["features"].append(np.pad(piece, ((0, pad), (0, 0))))
            batch["valid"].append(np.arange(length) < len(piece))
            batch["slices"].append(np.pad(labels, (0, pad)))
            batch["stack"].append(np.array([labels.any()]))
            # Cutting off the slices that hold the clot leaves a stack without embolism.
            batch["exam"].append(truth["exam"] * labels.any())
        yield {name: torch.from_numpy(np.stack(values)).float() for name, values in batch.items()}


def _stack_loss(network: PEModel, batch: dict[str, Tensor]) -> Tensor:
    inside = batch["valid"].bool()
    own = network.encoder.head(batch["features"])
    outputs = network.sequence(own["encoding"].float(), inside)
    loss = functional.binary_cross_entropy_with_logits(outputs["slice"][inside].float(), batch["slices"][inside])
    loss = loss + functional.binary_cross_entropy_with_logits(
        own["slice"][inside][:, 0].float(), batch["slices"][inside]
    )
    loss = loss + functional.binary_cross_entropy_with_logits(outputs["stack"].float(), batch["stack"])
    return loss + 0.5 * functional.binary_cross_entropy_with_logits(outputs["exam"].float(), batch["exam"])


def _operating_points(network: PEModel, tuning: list[Arrays]) -> tuple[float, float]:
    """Return the study threshold by Youden's index and the slice threshold by F1, from the detector's own windows."""
    detector = PEDetector(MemoryPredictor(network, _card(0, 0, 0.5, 0.5, evaluation=[])))
    answers = []
    for item in tuning:
        with torch.inference_mode():
            encodings = network.encoder.head(torch.from_numpy(_features(network, item)))["encoding"].numpy()
        answers.append(detector.sequence(encodings))
    study = youden_threshold(np.array([item["slices"].any() for item in tuning]), np.array([a.stack for a in answers]))
    slices = f1_threshold(
        np.concatenate([item["slices"] for item in tuning]), np.concatenate([a.slices for a in answers])
    )
    return study, slices


def _card(studies: int, steps: int, study: float, slices: float, evaluation: list[Interval]) -> Card:
    tuned = "on tuning phantoms that the weights were not fitted to"
    return Card(
        id=ID,
        task="pe",
        title="Slice encoder on EfficientNet-Lite0 with a 96-slice sequence network",
        network=NETWORK,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of(name) for name in ("pe", *EXAM)],
        operating_points=[
            OperatingPoint(level="study", label="pe", threshold=study, chosen=f"Youden's index {tuned}"),
            OperatingPoint(level="slice", label="pe", threshold=slices, chosen=f"highest F1 {tuned}"),
        ],
        training_data=TrainingData(
            summary="computer-made CTPA phantoms only, no patient; encoder started from ImageNet",
            phantoms_only=True,
            count=(
                f"{studies} phantom studies and {max(2, round(MANY_SHARE * studies))} with many clots; {steps} + "
                f"{min(FINE_STEPS, 4 * steps)} steps of {BATCH} slices and "
                f"{sum(min(limit, 2 * steps) for limit, _ in CLOSE_UPS)} of {CLOSE_BATCH} close-ups for the encoder; "
                f"{_unseen(studies)} further studies for the sequence network"
            ),
        ),
        evaluation=evaluation,
        licence="Apache-2.0",
        intended_use="To show the software at work from study to report, and to test it. Not for patients.",
        limitations=(
            "Never saw a patient. Real positives at hand are too few to measure (none): how well it finds a real "
            "embolus is not known, and its probabilities on real scans mean nothing until a model trained and measured "
            "on them takes its place. The published model encodes slices of 386 pixels with InceptionResNetV2; this "
            "one crops to lungs and heart, takes three neighbouring slices of 256 pixels and a smaller backbone, as it "
            "was fitted on two cores."
        ),
        sources=["Huhtanen H. et al., BMC Medical Imaging 22, 2022, doi:10.1186/s12880-022-00763-z"],
    )
