"""The hemorrhage model on head CT phantoms: fitting, operating points, measuring."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageDetector
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.evaluation.intervals import auc_interval, mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.evaluation.thresholds import youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval
from AcuteFindingsLib.networks import build_network
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.phantoms.phantom import Phantom
from AcuteFindingsLib.training.augment import augment, mask_loss
from AcuteFindingsLib.training.card_parts import label_of
from AcuteFindingsLib.training.first_arrays import BLEEDS, head_ct_arrays
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.held_out import held_out, held_out_aucs
from AcuteFindingsLib.training.hemorrhage_card import ARGUMENTS, NETWORK, SCANS, SETTINGS, SLICES
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import Arrays, phantom_arrays

HEAD_STEPS = 1000
# Each scan is read so many times for the head to learn from, each time but the first changed at random.
VIEWS = 2


def head_phantoms(cache: Path, first: int, count: int, workers: int) -> list[Arrays]:
    """Return head CT phantoms from seed `first` on, as `head_ct_arrays` gives them."""
    return phantom_arrays(
        head_ct_arrays,
        range(first, first + count),
        cache=cache,
        workers=workers,
        sources=("phantoms/head_ct/*.py", "detectors/hemorrhage/detector.py"),
        settings=SETTINGS.model_dump(),
        matrix=256,
    )


def fitted_to_phantoms(sets: list[Arrays], steps: int) -> RADnet:
    """Fit a network that starts from ImageNet; backbone and masks first, then the head on whole scans."""
    torch.manual_seed(0)
    network = cast(RADnet, build_network(NETWORK.name, ARGUMENTS))
    generator = np.random.default_rng(0)
    fit(network, phantom_batches(sets, steps, generator), _loss, steps=steps, rate=1e-3)
    # Eight slices at a time teach the backbone; the head then learns from whole scans.
    rounds = min(HEAD_STEPS, 4 * steps)
    scans = [_features(network, item, changed=view > 0) for view in range(VIEWS) for item in sets]
    fit(network, _scan_batches(scans, sets, rounds, generator), _scan_loss, steps=rounds, rate=1e-3)
    return network


def evaluate(network: nn.Module, card: Card, *, tests: int, command: str) -> list[Interval]:
    """Run the detector itself on phantoms that nothing was fitted or tuned on, at full matrix."""
    overlaps, errors = [], []
    kinds = BLEEDS[1:]
    present: dict[str, list[bool]] = {kind: [] for kind in kinds}
    score: dict[str, list[float]] = {kind: [] for kind in kinds}

    def compare(phantom: Phantom, finding: Finding) -> None:
        for kind in kinds:
            present[kind].extend(phantom.slice_labels[kind])
            score[kind].extend(item.probabilities[kind] for item in finding.slices)
        if phantom.positive:
            overlaps.append(dice(phantom.masks["hemorrhage"], finding.masks[0].array))
            measured = next(item.value for item in finding.measurements if item.name == "Hemorrhage volume")
            errors.append(abs(measured - phantom.study_labels["volume_ml"]))

    detector = HemorrhageDetector(MemoryPredictor(network, card))
    detector.reported = detector.labels  # they are measured here
    areas = held_out_aucs(detector.run, "head-ct", "any", name="head CT", tests=tests, command=command, seen=compare)
    data = f"positive ones of the {held_out('head CT', tests)}"
    return [
        *areas,
        *(
            auc_interval(
                np.array(present[kind]),
                np.array(score[kind]),
                metric=f"AUC, slice, {label_of(kind).meaning.lower()}",
                data=f"slices of the {held_out('head CT', tests)}, {sum(present[kind])} positive",
                command=command,
            )
            for kind in kinds
            if any(present[kind])
        ),
        mean_interval(np.array(overlaps), metric="Dice of the mask", data=data, command=command),
        mean_interval(np.array(errors), metric="Volume error, mL (absolute)", data=data, command=command),
    ]


def phantom_batches(
    sets: list[Arrays], steps: int, generator: np.random.Generator, *, scans: int = SCANS
) -> Iterator[dict[str, Tensor]]:
    """Yield batches of `scans` times eight neighbouring slices, at least half of them around a bleed."""
    positive = [number for number, item in enumerate(sets) if item["labels"][:, 0].any()]
    if not positive:
        raise ModelError(f"None of the {len(sets)} phantoms to fit to shows a bleed; fit to more studies.")
    for _ in range(steps):
        images, masks, labels = [], [], []
        for _scan in range(scans):
            chosen = sets[generator.choice(positive) if generator.random() < 0.5 else generator.integers(len(sets))]
            count = len(chosen["images"])
            centre = generator.integers(count)
            bleeding = np.flatnonzero(chosen["labels"][:, 0])
            if len(bleeding) and generator.random() < 0.6:
                centre = generator.choice(bleeding)
            start = int(np.clip(centre - generator.integers(SLICES), 0, max(count - SLICES, 0)))
            window = np.clip(np.arange(start, start + SLICES), 0, count - 1)
            if generator.random() < 0.5:
                window = window[::-1]
            images.append(chosen["images"][window])
            masks.append(chosen["mask"][window])
            labels.append(chosen["labels"][window])
        picture = torch.from_numpy(np.concatenate(images)[:, None]).float() / 255
        mask = torch.from_numpy(np.concatenate(masks)[:, None]).float()
        picture, moved = augment(picture, mask, groups=SLICES)
        assert moved is not None
        yield {"images": picture, "mask": moved, "labels": torch.from_numpy(np.stack(labels)).float()}


def _loss(network: RADnet, batch: dict[str, Tensor]) -> Tensor:
    outputs = network.features(batch["images"])
    outputs |= network.head(outputs["features"].float().reshape(*batch["labels"].shape[:2], -1))
    weights = torch.ones(len(BLEEDS))
    weights[0] = 2.0
    loss = functional.binary_cross_entropy_with_logits(
        outputs["slice"].float(), batch["labels"], weight=weights.to(batch["labels"].device)
    )
    loss = loss + mask_loss(outputs["mask"], batch["mask"])
    for name in ("attention_x2", "attention_x4", "attention_x8"):
        loss = loss + 0.1 * mask_loss(outputs[name], batch["mask"])
    return loss


def _features(network: RADnet, item: Arrays, *, changed: bool) -> Tensor:
    images = torch.from_numpy(item["images"][:, None]).float() / 255
    if changed:
        images, _ = augment(images, groups=len(images))
    with torch.no_grad():
        return torch.cat([network.features(part)["features"] for part in images.split(16)])


def _scan_batches(
    scans: list[Tensor], sets: list[Arrays], steps: int, generator: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    for _ in range(steps):
        chosen = generator.integers(len(scans), size=8)
        longest = max(len(scans[number]) for number in chosen)
        features = torch.zeros(len(chosen), longest, scans[0].shape[1])
        labels = torch.zeros(len(chosen), longest, len(BLEEDS))
        valid = torch.zeros(len(chosen), longest, dtype=torch.bool)
        for row, number in enumerate(chosen):
            scan, truth = scans[number], torch.from_numpy(sets[number % len(sets)]["labels"]).float()
            if generator.random() < 0.5:
                scan, truth = scan.flip(0), truth.flip(0)
            features[row, : len(scan)] = scan
            labels[row, : len(scan)], valid[row, : len(scan)] = truth, True
        yield {"features": features, "labels": labels, "valid": valid}


def _scan_loss(network: RADnet, batch: dict[str, Tensor]) -> Tensor:
    logits = network.head(batch["features"], batch["valid"])["slice"].float()
    return functional.binary_cross_entropy_with_logits(logits[batch["valid"]], batch["labels"][batch["valid"]])


def operating_points(
    network: RADnet, tuning: list[Arrays], real: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[float, float]:
    """Return the slice threshold by Youden's index and the mask threshold with the highest Dice.

    `real` holds truth and score of real slices ``(n,)`` that count for the slice threshold as much as the phantoms.
    """
    truth, score = ([real[0]], [real[1]]) if real else ([], [])
    grid = np.linspace(0.2, 0.8, 13)
    overlaps: list[list[float]] = []
    with torch.inference_mode():
        for item in tuning:
            outputs = network(torch.from_numpy(item["images"][None, :, None]).float() / 255)
            truth.append(item["labels"][:, 0])
            score.append(outputs["slice"][0, :, 0].sigmoid().numpy())
            if item["mask"].any():
                soft = outputs["mask"][0, :, 0].sigmoid().numpy()
                overlaps.append([dice(item["mask"], soft >= threshold) for threshold in grid])
    best = float(grid[int(np.argmax(np.mean(overlaps, axis=0)))])
    flat = np.concatenate(truth)
    sets = np.arange(len(flat)) < (len(real[0]) if real else 0)
    return youden_threshold(flat, np.concatenate(score), sets=sets), best
