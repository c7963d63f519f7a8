"""The first PE model: slice encoder and sequence network of docs/sources.md 1, small, fitted to phantoms."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from AcuteFindingsLib.detectors.pe.detector import PEDetector, PESettings
from AcuteFindingsLib.evaluation.thresholds import f1_threshold, youden_threshold
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.pe import PEModel, lasting_peaks
from AcuteFindingsLib.preprocessing.windows import PE_WINDOW
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.clot_encoder import FRESH_CLOSE_UPS, fit_coarsely, fit_finely, steps_in_words
from AcuteFindingsLib.training.clot_slices import REACH, read_slices
from AcuteFindingsLib.training.first_arrays import EXAM, ctpa_arrays
from AcuteFindingsLib.training.fit import fit
from AcuteFindingsLib.training.held_out import held_out_aucs
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TRAIN_SEED, TUNE_SEED, Arrays, phantom_arrays
from AcuteFindingsLib.training.real_lesions import measure_drawn_clots
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.trained import Trained
from AcuteFindingsLib.training.two_stages import stored_precision

ID = "pe-sequence-small"
_CHANNELS = 2 * REACH + 1
# HU. From air in the lungs to the top of the published window of blood: in that one alone a small vessel that fills
# half of a slice looks like a blocked one. The network sees both parts, each as a window.
_LEVEL, _WIDTH = PE_WINDOW
_LOWEST, _BLOOD, _HIGHEST = -850.0, _LEVEL - _WIDTH / 2, _LEVEL + _WIDTH / 2
# Where they meet, in the greys of -1 to 1 that the network takes.
_MEETING = 2 * (_BLOOD - _LOWEST) / (_HIGHEST - _LOWEST) - 1
ARGUMENTS: dict[str, dict[str, Any]] = {
    "encoder": {
        "backbone": "tf_efficientnet_lite0",
        "in_channels": _CHANNELS,
        "decoder": True,
        "fields": 8,
        "windows": [[_MEETING, 1.0], [-1.0, _MEETING]],
        "pretrained": True,
    },
    "sequence": {"exam_head": True, "stack_top": 8, "residual": True, "lasting": True},
}
NETWORK = Network(name="pe", arguments=stored_arguments(ARGUMENTS))
# Four slices at a time: on a processor, what 16 of them need is asked of the system anew for every layer, which takes
# longer than the layers.
SETTINGS = PESettings(
    window_level=(_LOWEST + _HIGHEST) / 2,
    window_width=_HIGHEST - _LOWEST,
    size=384,
    crop=True,
    channels=_CHANNELS,
    adjacent=True,
    batch=4,
)
MATRIX = 512
# The encoder learns on coarser pictures of coarser phantoms first, at less than half the work.
COARSE_SIZE, COARSE_MATRIX = 256, 320
MANY_SHARE = 0.55
MANY_SEED = 1000
FINE_SHARE, FINE_MANY_SHARE = 0.375, 0.625
# For each round of `FRESH_CLOSE_UPS`.
FRESH_SHARE = 0.292
FINE_SEED, FINE_MANY_SEED, FRESH_SEED, UNSEEN_SEED = 2000, 2500, 3000, 5000
# Studies for the sequence network that the encoder was not fitted to: on those that it was, its masks are better than
# they will be.
UNSEEN_SHARE = 0.25
TUNING_STUDIES = 30
# Few: on more, the sequence network learns the fitted studies by heart (tuning phantoms got worse from 60 steps on).
STACK_STEPS = 30
# How the stack output starts: the two most suspicious slices of the eight that it reads, for a clot may fill no more.
STACK_START = (0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
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
    "0.4.0": "reads 384 pixels a side instead of 256, fitted further to phantoms as fine as a scanner's pictures; "
    "counts a clot where a neighbouring slice shows one in the same place",
    "0.5.0": "fitted to close-ups of what it missed or mistook in 150 further chests; a clot counts as well where the "
    "neighbouring slice shows it only faintly",
    "0.6.0": "sees the lungs in a window of their own beside that of the blood; fitted to close-ups of what it missed "
    "or mistook in 590 further chests, where a small clot counts as much as a large one",
    "0.7.0": "sees two slices on each side of the one it judges, not one; fitted to close-ups of what it missed or "
    "mistook in 560 further chests",
}


def train(cache: Path, *, studies: int, steps: int, tests: int, workers: int, data: Path | None = None) -> Trained:
    """Fit the encoder, then its head with the sequence network; choose operating points; measure.

    Where `data` holds a real CT angiogram, the card also says what becomes of clots drawn into it.
    """
    torch.manual_seed(0)
    network = cast(PEModel, build_network(NETWORK.name, ARGUMENTS))
    generator = np.random.default_rng(0)
    fit_coarsely(
        network.encoder,
        ARGUMENTS["encoder"],
        _sets(cache, TRAIN_SEED, studies, workers, coarse=True),
        _sets(cache, MANY_SEED, _share(MANY_SHARE, studies), workers, coarse=True, burden="many"),
        steps=steps,
        generator=generator,
    )
    fresh = _share(FRESH_SHARE, studies)
    fit_finely(
        network.encoder,
        _sets(cache, FINE_SEED, _share(FINE_SHARE, studies), workers),
        (_sets(cache, FRESH_SEED + n * fresh, fresh, workers) for n in range(len(FRESH_CLOSE_UPS))),
        _sets(cache, FINE_MANY_SEED, _share(FINE_MANY_SHARE, studies), workers, burden="many"),
        steps=steps,
        generator=generator,
    )
    unseen = _sets(cache, UNSEEN_SEED, _share(UNSEEN_SHARE, studies), workers)
    _fit_sequence(network, unseen, min(STACK_STEPS, 4 * steps), generator)
    network.load_state_dict(stored_precision(network.state_dict()))
    tuning = _sets(cache, TUNE_SEED, TUNING_STUDIES, workers)
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


def _share(share: float, studies: int) -> int:
    return max(2, round(share * studies))


def _fit_sequence(network: PEModel, sets: list[Arrays], rounds: int, generator: np.random.Generator) -> None:
    """Fit what reads the masks: a slice's own answer first, then what its neighbours add, from that on."""
    stacks = [_features(network, item) for item in sets]
    labels = np.concatenate([item["slices"] for item in sets])
    sequence = network.sequence_network
    highest = np.concatenate([stack.max(axis=1, keepdims=True) for stack in stacks])
    lasting = [lasting_peaks(torch.from_numpy(one[None]), torch.ones(1, len(one), dtype=torch.bool)) for one in stacks]
    _fit_line(network.encoder.output, highest, labels)
    _fit_line(sequence.own, torch.cat(lasting, dim=1)[0].numpy(), labels)
    last = cast(nn.Linear, sequence.slices[-1])
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    nn.init.zeros_(sequence.stack.bias)
    with torch.no_grad():
        sequence.stack.weight[0] = torch.tensor(STACK_START)
    fit(network, _stack_batches(stacks, sets, rounds, generator), _stack_loss, steps=rounds, rate=7e-4)


def _fit_line(layer: nn.Linear, values: np.ndarray, labels: np.ndarray) -> None:
    """Set weight and bias by logistic regression of `labels` ``(n,)`` on `values` ``(n, 1)``, classes of one weight."""
    line = LogisticRegression(class_weight="balanced").fit(values, labels)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(line.coef_))
        layer.bias.copy_(torch.from_numpy(line.intercept_))


def _features(network: PEModel, item: Arrays) -> np.ndarray:
    return read_slices(network.encoder, item, np.arange(len(item["slices"])), "features").numpy()


def _sets(cache: Path, first: int, count: int, workers: int, *, coarse: bool = False, **options: Any) -> list[Arrays]:
    # Each slice by itself: what is shown beside it is chosen while fitting.
    alone = SETTINGS.model_copy(update={"channels": 1, "adjacent": False})
    return phantom_arrays(
        ctpa_arrays,
        range(first, first + count),
        cache=cache,
        workers=workers,
        sources=("phantoms/ctpa/*.py", "detectors/pe/detector.py"),
        settings=alone.model_copy(update={"size": COARSE_SIZE} if coarse else {}).model_dump(exclude={"batch"}),
        matrix=COARSE_MATRIX if coarse else MATRIX,
        **options,
    )


def evaluate(network: nn.Module, card: Card, *, tests: int) -> list[Interval]:
    """Run the detector itself on phantoms that nothing was fitted or tuned on, at full matrix."""
    detector = PEDetector(MemoryPredictor(network, card))
    return held_out_aucs(detector.run, "ctpa", "pe", name="CTPA", tests=tests, command=command_for("pe"))


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
    fine = _share(FINE_SHARE, studies) + len(FRESH_CLOSE_UPS) * _share(FRESH_SHARE, studies)
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
                f"{studies} coarse phantom studies and {_share(MANY_SHARE, studies)} with many clots, "
                f"{fine} fine ones and {_share(FINE_MANY_SHARE, studies)} with many clots; "
                f"{steps_in_words(steps)} for the encoder; {_share(UNSEEN_SHARE, studies)} further studies for the "
                "sequence network"
            ),
        ),
        evaluation=evaluation,
        never_saw="a patient",
        license="Apache-2.0",
        intended_use="To show the software at work from study to report, and to test it. Not for patients.",
        limitations=(
            "Never saw a patient. Real positives at hand are too few to measure (none): how well it finds a real "
            "embolus is not known, and its probabilities on real scans mean nothing until a model trained and measured "
            "on them takes its place. The published model encodes slices of 386 pixels with InceptionResNetV2; this "
            f"one crops to lungs and heart, takes {_CHANNELS} neighbouring slices of {SETTINGS.size} pixels in two "
            "windows and a smaller backbone, as it was fitted on two cores."
        ),
        sources=["Huhtanen H. et al., BMC Medical Imaging 22, 2022, doi:10.1186/s12880-022-00763-z"],
    )
