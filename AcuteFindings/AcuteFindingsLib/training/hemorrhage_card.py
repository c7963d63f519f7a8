"""The model card of the hemorrhage model, and what of it the training needs."""

import numpy as np
import torch

from AcuteFindingsLib.detectors.hemorrhage.detector import HemorrhageSettings
from AcuteFindingsLib.detectors.rules import consecutive_score
from AcuteFindingsLib.models.metadata import Card, Network, OperatingPoint, TrainingData
from AcuteFindingsLib.networks import stored_arguments
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.first_arrays import BLEEDS
from AcuteFindingsLib.training.phantom_sets import Arrays
from AcuteFindingsLib.training.real_heads import ON_THE_WAY, RealHeads
from AcuteFindingsLib.training.real_heads_card import FOLDER, RESTRICTION

ID = "hemorrhage-radnet-small"
PACKAGE = f"Resources/Models/{ID}"
ARGUMENTS = {
    "backbone": "tf_efficientnet_lite0",
    "attention": True,
    "recurrent": True,
    "decoder": True,
    "labels": 6,
    "pooling": "avgmax",
    "mask_features": True,
    "dropout": 0.5,
    "pretrained": True,
}
NETWORK = Network(name="radnet", arguments=stored_arguments(ARGUMENTS))
SETTINGS = HemorrhageSettings(pixel_mm=1.25, size=200)
SCANS, SLICES = 3, 8
RULE = 3
# Pixels from which a mask counts as marking something in a real slice.
SEEN_PIXELS = 20


def make_card(
    studies: int, steps: int, slice_threshold: float, mask_threshold: float, *, real: int = 0, real_steps: int = 0
) -> Card:
    """Return the card without figures, for so many phantom studies, real slices and steps of fitting to each."""
    tuned = "on tuning phantoms that the weights were not fitted to"
    chosen = (
        f"Youden's index, the mean of that on the cross-validated answers for {real} real slices and that {tuned}"
        if real
        else f"Youden's index {tuned}"
    )
    summary = "computer-made head CT phantoms only, no patient; backbone started from ImageNet"
    count = f"{studies} phantom studies, {steps} steps of {SCANS} x {SLICES} slices"
    limitations = (
        "Never saw a patient. On real scans its probabilities and masks mean nothing until it is replaced by a "
        "model trained and measured on real ones. "
    )
    if real:
        summary = (
            "computer-made head CT phantoms, then real single head CT slices (“Head CT - hemorrhage”), as they are and "
            "with bleeds drawn into those without one; backbone started from ImageNet"
        )
        count += (
            f"; then {real} real slices, {real_steps} steps of 16 real, 8 drawn and {SLICES} phantom slices; mean of "
            f"the weights before ({1 - ON_THE_WAY:.0%}) and after ({ON_THE_WAY:.0%})"
        )
        limitations = (
            "The real slices are few, of one collection, already windowed, and one to a person: how it answers for "
            "whole scans of patients was measured on phantoms only. Where a real bleed is and of which kind, the data "
            "do not say; the masks and the five kinds were learnt from phantoms and drawn bleeds. "
        )
    return Card(
        id=ID,
        task="hemorrhage",
        title="RADnet head and attention on EfficientNet-Lite0",
        network=NETWORK,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of(name) for name in BLEEDS],
        operating_points=[
            OperatingPoint(level="slice", label="any", threshold=slice_threshold, chosen=chosen),
            OperatingPoint(level="mask", label="any", threshold=mask_threshold, chosen=f"highest Dice {tuned}"),
        ],
        rule={"minimum_consecutive": RULE},
        training_data=TrainingData(
            summary=summary, phantoms_only=not real, count=count, restriction=RESTRICTION if real else ""
        ),
        evaluation=[],
        never_saw="a whole scan of a patient" if real else "a patient",
        license="Apache-2.0; real images of unstated license" if real else "Apache-2.0",
        intended_use=(
            "To point out slices of non-contrast head CT that may show hemorrhage, in research. Not for patients."
            if real
            else "To show the software at work from study to report, and to test it. Not for patients."
        ),
        limitations=limitations
        + "The published RADnet uses DenseNet-40 and stochastic gradient descent; this one, fitted on two cores, pixels"
        " of 1.25 mm, a smaller backbone, a mask decoder and AdamW."
        + (" The finest layers were left as phantoms had taught them, to save time." if real else ""),
        sources=[
            "Grewal M. et al., RADnet: Radiologist level accuracy using deep learning for hemorrhage detection in CT "
            "scans, 2018",
            *(["Kitamura F., Head CT - hemorrhage, 2018"] if real else []),
        ],
    )


def mask_caption(heads: RealHeads, masks: np.ndarray, threshold: float) -> str:
    """Return what stands below the sheet of attention masks ``(n, y, x)``, all slices' masks counted."""
    marked = (masks >= threshold).reshape(len(masks), -1).sum(axis=1) >= SEEN_PIXELS
    return (
        f"Attention masks of the {int(heads.bleeding.sum())} slices with hemorrhage, by the weights that ship: heat is "
        "the mask's probability, the green line its threshold, p the probability of any hemorrhage. The slices "
        "themselves may not be shown here, so a flat grey head stands for each. Where the bleed is, nobody told the "
        f"network; it marks {SEEN_PIXELS} pixels or more in {int(marked[heads.bleeding].sum())} of them, and in "
        f"{int(marked[~heads.bleeding].sum())} of the {int((~heads.bleeding).sum())} without hemorrhage."
    )


def real_text(network: RADnet, tuning: list[Arrays], threshold: float) -> str:
    """Return how the figures on real slices came about, and what the study rule gives on tuning phantoms."""
    truth, score = [], []
    with torch.inference_mode():
        for item in tuning:
            outputs = network(torch.from_numpy(item["images"][None, :, None]).float() / 255)
            probability = outputs["slice"][0, :, 0].sigmoid().numpy()
            truth.append(bool(item["labels"][:, 0].any()))
            score.append(consecutive_score(probability, minimum=RULE))
    present, called = np.array(truth), np.array(score) >= threshold
    return f"""## How it was measured on real slices

The set holds 140 single slices, half of them with hemorrhage. Five networks were fitted, each to four fifths of the
slices; each answered for the fifth that it had not seen. Near-identical slices stood in one fifth. Those answers are in
`docs/cross-validation.csv`, so the figure can be computed again without training:

    acutefindings evaluate docs/cross-validation.csv --truth DATA/{FOLDER}/labels.csv

In this set image size, border and histogram alone tell much of the answer: the baseline in the table knows nothing
else. The neutral version (`docs/cross-validation-neutral.csv`) takes that away: cropped to the head, black outside the
skull, one size. `docs/folds.csv` names each slice's fifth. The weights that ship were then fitted to all slices, so
that `acutefindings predict` on this set shows what they learnt, not how good they are: the rows called resubstitution.

The slice threshold was chosen on the cross-validated answers and on tuning phantoms alike. With it, the rule of {RULE}
consecutive slices finds {int((present & called).sum())} of {int(present.sum())} tuning phantoms with hemorrhage and
calls {int((~present & called).sum())} of {int((~present).sum())} without.

The sheet of masks over the slices themselves is written by `{command_for("hemorrhage", data=True)}` to
`build/sheets`."""
