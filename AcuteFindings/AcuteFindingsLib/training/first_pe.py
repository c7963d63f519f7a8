"""The first PE model: slice encoder and sequence network of SOURCES.md 1 on a small backbone, fitted to phantoms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.pe import PEDetector, PESettings
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.evaluation.intervals import auc_interval
from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.backbones import PooledBackbone
from AcuteFindingsLib.networks.pe import PEModel, SliceEncoder
from AcuteFindingsLib.phantoms import make_phantom
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.training.augment import augment, mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.first_arrays import EXAM, ctpa_arrays
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, TUNE_SEED, Arrays, phantom_arrays

ID = "pe-sequence-small"
COMMAND = "python -m AcuteFindingsLib.training.first_models pe"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "encoder": {"backbone": "tf_efficientnet_lite0", "in_channels": 1, "decoder": True, "pretrained": True},
    "sequence": {"exam_head": True, "stack_top": 8},
}
NETWORK = Network(name="pe", arguments=stored_arguments(ARGUMENTS))
# The finest layers keep what ImageNet taught them: most of the time would go there.
FROZEN_SHARE = 0.3
SETTINGS = PESettings(size=256, crop=True)
BATCH = 24
FINE_STEPS = 2200
# Then chests with many clots, and the slices without one that the network so far takes for a clot.
HARD_STEPS = 850
MANY_SHARE = 0.55
MANY_SEED = 1000
# Few: on more, the sequence network learns the fitted studies by heart (tuning phantoms got worse from 350 steps on).
STACK_STEPS = 200


def train(cache: Path, *, studies: int, steps: int, tests: int, workers: int) -> tuple[nn.Module, Card]:
    """Fit the encoder, then its head with the sequence network; choose operating points; measure."""
    sets = _sets(cache, TRAIN_SEED, studies, workers)
    tuning = _sets(cache, TUNE_SEED, max(20, tests // 2), workers)
    torch.manual_seed(0)
    network = cast(PEModel, build_network(NETWORK.name, ARGUMENTS))
    generator = np.random.default_rng(0)
    # First where in the picture a clot is, roughly and fast; from there, its outline.
    coarse = SliceEncoder(**{**ARGUMENTS["encoder"], "decoder": False})
    coarse.freeze_first(FROZEN_SHARE)
    fit(Located(coarse), _slice_batches(sets, steps, generator), _slice_loss, steps=steps, rate=1e-3)
    network.encoder.backbone.load_state_dict(_shared(coarse.backbone, network.encoder.backbone))
    network.encoder.freeze_first(FROZEN_SHARE)
    fine = min(FINE_STEPS, 4 * steps)
    fit(network.encoder, _slice_batches(sets, fine, generator), _mask_loss, steps=fine, rate=1e-3)
    many = _sets(cache, MANY_SEED, max(2, round(MANY_SHARE * studies)), workers, burden="many")
    mistakes = [_mistaken(_features(network, item), item["slices"]) for item in sets]
    hard = min(HARD_STEPS, 2 * steps)
    fit(network.encoder, _hard_batches(sets, many, mistakes, hard, generator), _mask_loss, steps=hard, rate=1e-3)
    stacks = [_features(network, item) for item in sets]
    rounds = min(STACK_STEPS, 4 * steps)
    # The stack output starts as the mean over the most suspicious slices.
    nn.init.constant_(network.sequence_network.stack.weight, 1 / network.sequence_network.stack_top)
    nn.init.zeros_(network.sequence_network.stack.bias)
    fit(network, _stack_batches(stacks, sets, rounds, generator), _stack_loss, steps=rounds, rate=1e-3)
    card = _card(studies, steps, *_operating_points(network, tuning), evaluation=[])
    return network, card.model_copy(update={"evaluation": evaluate(network, card, tests=tests)})


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
    truth, score = [], []
    slice_truth: list[bool] = []
    slice_score: list[float] = []
    for seed in range(TEST_SEED, TEST_SEED + tests):
        phantom = make_phantom("ctpa", seed)
        finding = detector.run(phantom_study(phantom))
        truth.append(phantom.positive)
        score.append(finding.verdict.probability)
        slice_truth.extend(phantom.slice_labels["pe"])
        slice_score.extend(item.probabilities["pe"] for item in finding.slices)
    data = f"held-out CTPA phantoms, seeds {TEST_SEED} to {TEST_SEED + tests - 1}"
    return [
        auc_interval(
            np.array(truth),
            np.array(score),
            metric="AUC, study",
            data=f"{data}, {sum(truth)} positive",
            command=COMMAND,
        ),
        auc_interval(
            np.array(slice_truth),
            np.array(slice_score),
            metric="AUC, slice",
            data=f"slices of the {data}",
            command=COMMAND,
        ),
    ]


def _slice_batches(sets: list[Arrays], steps: int, generator: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    everything, positive = _every_slice(sets), _clots_by_study(sets)
    half = BATCH // 2
    for _ in range(steps):
        chosen = _one_of_each(positive, half, generator)
        chosen += [everything[i] for i in generator.integers(len(everything), size=BATCH - half)]
        yield _slice_batch(sets, chosen)


def _hard_batches(
    sets: list[Arrays], many: list[Arrays], mistakes: list[np.ndarray], steps: int, generator: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """Yield a third of clots from `many`, an eighth from `sets`, a quarter of mistaken slices, the rest at random."""
    together = sets + many
    everything, positive = _every_slice(together), _clots_by_study(sets)
    crowded = [(len(sets) + n, int(z)) for n, item in enumerate(many) for z in np.flatnonzero(item["slices"])]
    mistaken = [(n, int(z)) for n, weights in enumerate(mistakes) for z in np.flatnonzero(weights)] or everything
    weights = np.array([mistakes[n][z] for n, z in mistaken]) if mistaken is not everything else np.ones(len(mistaken))
    for _ in range(steps):
        chosen = [crowded[i] for i in generator.integers(len(crowded), size=BATCH // 3)]
        chosen += _one_of_each(positive, BATCH // 8, generator)
        chosen += [mistaken[i] for i in generator.choice(len(mistaken), BATCH // 4, p=weights / weights.sum())]
        chosen += [everything[i] for i in generator.integers(len(everything), size=BATCH - len(chosen))]
        yield _slice_batch(together, chosen)


def _every_slice(sets: list[Arrays]) -> list[tuple[int, int]]:
    return [(n, z) for n, item in enumerate(sets) for z in range(len(item["slices"]))]


def _clots_by_study(sets: list[Arrays]) -> list[tuple[int, np.ndarray]]:
    positive = [(n, np.flatnonzero(item["slices"])) for n, item in enumerate(sets) if item["slices"].any()]
    if not positive:
        raise ModelError(f"None of the {len(sets)} phantoms to fit to shows an embolus; fit to more studies.")
    return positive


def _one_of_each(
    positive: list[tuple[int, np.ndarray]], count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw studies, then a slice of each: a clot of four slices is seen as often as one of forty."""
    drawn = (positive[i] for i in generator.integers(len(positive), size=count))
    return [(n, int(generator.choice(slices))) for n, slices in drawn]


def _slice_batch(sets: list[Arrays], chosen: list[tuple[int, int]]) -> dict[str, Tensor]:
    images = torch.from_numpy(np.stack([sets[n]["images"][z] for n, z in chosen])[:, None]).float() / 255
    where = torch.from_numpy(np.stack([sets[n]["where"][z] for n, z in chosen])[:, None]).float()
    images, moved = augment(images, where, shift=0.03)
    assert moved is not None
    labels = torch.tensor([[float(sets[n]["slices"][z])] for n, z in chosen])
    return {"images": images * 2 - 1, "labels": labels, "where": moved}


def _mistaken(features: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """Return for each slice how surely the mask shows a clot where there is none within two slices, else 0."""
    near = np.convolve(slices, np.ones(5), "same") > 0
    highest = features[:, -1]
    return np.where((highest > 0.15) & ~near, highest, 0.0)


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


def _shared(coarse: nn.Module, pyramid: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the coarse encoder's backbone that the pyramid has too: all but its last convolution."""
    wanted = pyramid.state_dict()
    return {name: value for name, value in coarse.state_dict().items() if name in wanted}


def _mask_loss(encoder: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    outputs = encoder(batch["images"])
    share = functional.interpolate(batch["where"], outputs["mask"].shape[-2:], mode="area")
    slices = functional.binary_cross_entropy_with_logits(outputs["slice"].float(), batch["labels"])
    return slices + mask_loss(outputs["mask"], (share >= 0.5).float())


def _features(network: PEModel, item: Arrays) -> np.ndarray:
    images = torch.from_numpy(item["images"][:, None]).float() / 127.5 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return torch.cat([network.encoder.features(part)["features"] for part in images.split(32)]).numpy()


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
                f"{min(FINE_STEPS, 4 * steps)} + {min(HARD_STEPS, 2 * steps)} steps of {BATCH} slices for the encoder"
            ),
        ),
        evaluation=evaluation,
        licence="Apache-2.0",
        intended_use="To show the software at work from study to report, and to test it. Not for patients.",
        limitations=(
            "Never saw a patient. On real scans its probabilities mean nothing until it is replaced by a model trained "
            "and measured on real ones. The published model encodes slices of 386 pixels with InceptionResNetV2; this "
            "one crops to lungs and heart, takes 256 pixels and a smaller backbone, because it was fitted on two cores."
        ),
        sources=["Huhtanen H. et al., BMC Medical Imaging 22, 2022, doi:10.1186/s12880-022-00763-z"],
    )
