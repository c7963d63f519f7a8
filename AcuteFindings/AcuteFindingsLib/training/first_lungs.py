"""The lung model: a U-Net on a small encoder, fitted to real radiographs with lung masks and to phantoms."""

from inspect import getsource
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import lung_masks
from AcuteFindingsLib.evaluation.contact_sheet import Panel
from AcuteFindingsLib.evaluation.intervals import mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.models.metadata import Card, Interval, Network, OperatingPoint, Picture, TrainingData
from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.preprocessing.square import fit_square
from AcuteFindingsLib.training import radiograph_sets, real_lungs
from AcuteFindingsLib.training.card_parts import command_for, label_of
from AcuteFindingsLib.training.held_out import held_out
from AcuteFindingsLib.training.lesions.radiographs import FOLDER, RESTRICTION
from AcuteFindingsLib.training.memory_predictor import MemoryPredictor
from AcuteFindingsLib.training.phantom_sets import TEST_SEED, TRAIN_SEED, Arrays
from AcuteFindingsLib.training.radiograph_sets import SOURCE_5
from AcuteFindingsLib.training.real_lungs import FOLDS, RealLungs, cross_validate, fit_to_lungs, read_lungs, shares
from AcuteFindingsLib.training.remembered import Remembered
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.trained import Trained

# At 192 pixels a side, where each pixel holds how much of it is lung, the lungs that people drew come back with a Dice
# of 0.999. Networks of one size, be it 128, 160 or 224, outlined other patients no better than each other.
SETTINGS = radiograph_sets.SETTINGS.model_copy(update={"size": 192})
ARGUMENTS: dict[str, Any] = {
    "encoder": "tf_efficientnet_lite0",
    "decoder_channels": 32,
    "pretrained": True,
    # Those of the batches, and one more.
    "scales": [2 / 3, 5 / 6, 1.0, 7 / 6],
}
_SHEET = "outlines-without-images.png"
_COLUMNS = 10
_GREY = 0.4


def train_lungs(
    cache: Path,
    *,
    studies: int,
    steps: int,
    tests: int,
    workers: int,
    data: Path | None = None,
    sheets: Path | None = None,
) -> Trained:
    """Fit the lung model to phantoms and, where `data` holds them, real radiographs with lung masks.

    Parameters
    ----------
    data
        Folder of real images, with `chest-xray-lungs`. Cross-validated by patient first; the weights that ship are then
        fitted to all of them.
    sheets
        Where the sheet of outlines over the radiographs themselves is written; their license keeps it out of the
        package.
    """
    phantoms = [_smaller(item) for item in radiograph_sets.radiograph_sets(cache, TRAIN_SEED, studies, workers)]
    named = Network(name="lung_unet", arguments=stored_arguments(ARGUMENTS))
    real = read_lungs(data / FOLDER, SETTINGS) if data else None
    card = _card(named, studies, steps, real)

    def start() -> nn.Module:
        return build_network(named.name, ARGUMENTS)

    def outline(network: nn.Module, picture: np.ndarray) -> np.ndarray:
        return lung_masks([picture], MemoryPredictor(network, card))[0]

    figures: list[Interval] = []
    pictures: list[Picture] = []
    documents: dict[str, bytes] = {}
    everyone = np.arange(len(real.pictures) if real else 0)
    if real:
        shaped = (real.images, real.lungs, real.patients, ARGUMENTS, steps, studies, getsource(real_lungs))
        kept = Remembered(cache / "cross-validation", *shaped)
        found = cross_validate(start, real, phantoms, outline, steps=steps, kept=kept)
        network = fit_to_lungs(start, real, everyone, phantoms, steps=steps)
        figures = [*_cross_validated(real, found), _resubstituted(real, network, card)]
        pictures = [Picture(file=_SHEET, caption=_caption(real, found))]
        documents = {
            _SHEET: sheet_bytes(_panels(real, found, images=False), columns=_COLUMNS),
            "cross-validation.csv": _table(real, found),
        }
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            (sheets / "lung-outlines.png").write_bytes(sheet_bytes(_panels(real, found, images=True), columns=_COLUMNS))
    else:
        network = fit_to_lungs(start, None, everyone, phantoms, steps=steps)
    command = command_for("lungs", data=real is not None)
    figures.append(_on_phantoms(network, card, tests, command))
    return Trained(
        network,
        card.model_copy(update={"evaluation": figures, "pictures": pictures}),
        text=_text(real) if real else "",
        documents=documents,
        changelog={
            "0.1.0": "first model, a U-Net from scratch fitted to phantoms and 44 real radiographs",
            "0.2.0": "an encoder that starts from ImageNet, fitted to all 58 real radiographs; cross-validated",
            "0.3.0": "192 pixels a side instead of 160; fitted to several sizes; the mean of four sizes answers",
        }
        if real
        else {"0.1.0": "first model"},
    )


def _smaller(item: Arrays) -> Arrays:
    """Return a phantom at the size that this network reads; the other radiograph models read more pixels."""
    return {
        "image": np.rint(fit_square(item["image"].astype(np.float32), SETTINGS.size)).astype(np.uint8),
        "lungs": shares(item["lungs"], SETTINGS.size),
    }


def _cross_validated(real: RealLungs, found: Arrays) -> list[Interval]:
    patients = real.patients
    told = f"{len(patients)} real radiographs of {len(set(patients))} people, each by a network that saw none of its "
    told += f"patient's ({FOLDS} folds)"
    adult = [
        mean_interval(
            found["dice"][chosen],
            metric=f"Dice, cross-validated, {view} views",
            data=f"those of them in {view} view",
            command=command_for("lungs", data=True),
            patients=patients[chosen],
        )
        for view in ("PA", "AP")
        for chosen in [np.array([str(one.facts.get("view", "")).startswith(view) for one in real.table.examples])]
        if chosen.any()
    ]
    whole = mean_interval(
        found["dice"],
        metric="Dice, cross-validated",
        data=told,
        command=command_for("lungs", data=True),
        patients=patients,
    )
    return [whole, *adult]


def _resubstituted(real: RealLungs, network: nn.Module, card: Card) -> Interval:
    predictor = MemoryPredictor(network, card)
    package = f"Resources/Models/{card.id}"
    return mean_interval(
        np.array(
            [
                dice(mask, lung_masks([picture], predictor)[0])
                for picture, mask in zip(real.pictures, real.masks, strict=True)
            ]
        ),
        metric="Dice, resubstitution",
        data="the same radiographs with the weights that ship, which were fitted to these very radiographs: shows that "
        "the package answers, not how good it is",
        command=f"acutefindings predict --detector lungs --model {package} --images DATA/{FOLDER}/images --out p && "
        f"acutefindings evaluate p --truth DATA/{FOLDER}/masks",
        patients=real.patients,
    )


def _on_phantoms(network: nn.Module, card: Card, tests: int, command: str) -> Interval:
    predictor = MemoryPredictor(network, card)
    overlaps = []
    for seed in range(TEST_SEED, TEST_SEED + tests):
        phantom = make_phantom("chest-xray", seed)
        overlaps.append(dice(phantom.masks["lungs"][0], lung_masks([phantom.array[0]], predictor)[0]))
    return mean_interval(
        np.array(overlaps),
        metric="Dice, phantoms",
        data=held_out("chest radiograph", tests),
        command=command,
    )


def _panels(real: RealLungs, found: Arrays, *, images: bool) -> list[Panel]:
    """Return a panel a radiograph, the lowest Dice first."""
    return [
        Panel(
            image=(real.images[number] / 255 if images else _GREY / 255 * real.lungs[number]).astype(np.float32),
            title=f"{found['dice'][number]:.3f}",
            outline=found["drawn"][number],
        )
        for number in np.argsort(found["dice"], kind="stable")
    ]


def _caption(real: RealLungs, found: Arrays) -> str:
    low = int((found["dice"] < 0.9).sum())
    return (
        f"The {len(real.pictures)} radiographs in cross-validation, the lowest Dice first: grey are the lungs that "
        "people drew, the green line is what a network drew that saw none of the patient's. The radiographs themselves "
        f"may not be shown here. {low} of them stay below a Dice of 0.9."
    )


def _table(real: RealLungs, found: Arrays) -> bytes:
    rows = [
        f"{key},{fold},{value!r}"
        for key, fold, value in zip(real.table.keys, found["fold"].tolist(), found["dice"].tolist(), strict=True)
    ]
    return "\n".join(["image,fold,dice", *rows, ""]).encode()


def _text(real: RealLungs) -> str:
    return f"""## How it was measured on real radiographs

{FOLDS} networks were fitted, each to the radiographs of three quarters of the patients; each outlined those of the
others, whole and at their own size as the detector does it (`docs/cross-validation.csv`). The weights that ship were
then fitted to all {len(real.pictures)}. In these masks the lungs reach behind the heart, close to the spine; against
masks that stop at the heart's edge the Dice is lower.

How the network is fitted and at which sizes it answers was chosen among several designs by this very cross-validation,
in which one design fitted twice differs by 0.002 or so: on other people's radiographs, expect a little less.

The sheet of outlines over the radiographs themselves is written by `{command_for("lungs", data=True)}` to
`build/sheets`."""


def _card(network: Network, studies: int, steps: int, real: RealLungs | None) -> Card:
    count = len(real.pictures) if real else 0
    return Card(
        id="lungs-unet-small",
        task="lungs",
        title="Lung U-Net on EfficientNet-Lite0",
        network=network,
        preprocessing=SETTINGS.model_dump(),
        labels=[label_of("lungs")],
        operating_points=[OperatingPoint(level="mask", label="lungs", threshold=0.5, chosen="half, as fitted")],
        training_data=TrainingData(
            summary=f"chest radiograph phantoms and {count} real radiographs; encoder started from ImageNet"
            if real
            else "chest radiograph phantoms only; encoder started from ImageNet",
            phantoms_only=not real,
            count=f"{studies} phantom radiographs and {count} real ones, {steps} steps of 14",
            restriction=RESTRICTION if real else "",
        ),
        evaluation=[],
        license="CC-BY-NC-SA-4.0" if real else "Apache-2.0",
        intended_use="To outline the lung fields of frontal radiographs for the pneumothorax detector. Research only.",
        limitations=(
            "Few real radiographs, most of them of adults with COVID-19; a collapsed lung was seen on phantoms only. "
            f"Reads {SETTINGS.size} pixels a side, because it was fitted on two cores."
        ),
        sources=[
            SOURCE_5,
            *(["Cohen J. P. et al., covid-chestxray-dataset, 2020; lung masks by V7 Labs"] if real else []),
        ],
    )
