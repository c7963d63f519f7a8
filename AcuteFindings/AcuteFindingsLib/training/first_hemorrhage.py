"""The hemorrhage model: RADnet's head and attention on a small backbone, fitted to phantoms, then to real slices."""

from collections.abc import Iterator
from inspect import getsource
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from AcuteFindingsLib.networks import build_network, stored_arguments
from AcuteFindingsLib.networks.radnet import RADnet
from AcuteFindingsLib.training import real_heads
from AcuteFindingsLib.training.card_parts import command_for
from AcuteFindingsLib.training.hemorrhage_card import (
    ARGUMENTS,
    NETWORK,
    PACKAGE,
    SETTINGS,
    make_card,
    mask_caption,
    real_text,
)
from AcuteFindingsLib.training.hemorrhage_phantoms import (
    evaluate,
    fitted_to_phantoms,
    head_phantoms,
    operating_points,
    phantom_batches,
)
from AcuteFindingsLib.training.phantom_sets import TRAIN_SEED, TUNE_SEED, Arrays
from AcuteFindingsLib.training.real_heads import (
    STEPS,
    cross_validate,
    fit_to_heads,
    mask_heads,
    read_heads,
    score_heads,
)
from AcuteFindingsLib.training.real_heads_card import (
    FOLDER,
    at_threshold,
    cross_validated,
    mask_panels,
    mask_sheet,
    resubstituted,
    score_tables,
)
from AcuteFindingsLib.training.remembered import Remembered
from AcuteFindingsLib.training.sheets import sheet_bytes
from AcuteFindingsLib.training.trained import Trained
from AcuteFindingsLib.training.two_stages import fitted_before, stored_precision

# Phantoms shown beside real slices.
BESIDE_REAL = 150


def train(
    cache: Path,
    *,
    studies: int,
    steps: int,
    tests: int,
    workers: int,
    data: Path | None = None,
    start: Path | None = None,
    real_steps: int | None = None,
    sheets: Path | None = None,
) -> Trained:
    """Fit on phantoms and, where `data` holds them, go on with real slices; choose operating points, measure.

    Parameters
    ----------
    data
        Folder of real images, with `head-ct-slices`; phantoms only when None.
    start
        A package of this model fitted to phantoms, in place of the first stage.
    real_steps
        Of the second stage; `real_heads.STEPS` when None.
    sheets
        Where the sheet of attention masks over the slices themselves is written; their license keeps it out of the
        package.

    Raises
    ------
    ModelError
        `start` is no model of this kind, or has seen more than phantoms.
    """
    sets = head_phantoms(cache, TRAIN_SEED, min(studies, BESIDE_REAL) if start and data else studies, workers)
    before = fitted_before(start, task="hemorrhage", network=NETWORK) if start else fitted_to_phantoms(sets, steps)
    network = cast(RADnet, before)
    tuning = head_phantoms(cache, TUNE_SEED, max(20, tests // 2), workers)
    if data is None:
        slice_threshold, mask_threshold = operating_points(network, tuning)
        card = make_card(studies, steps, slice_threshold, mask_threshold)
        figures = evaluate(network, card, tests=tests, command=command_for("hemorrhage"))
        return Trained(network, card.model_copy(update={"evaluation": figures}))
    sizes = {"studies": studies, "steps": steps, "real_steps": real_steps or STEPS, "tests": tests}
    return _with_real_slices(network, sets[:BESIDE_REAL], tuning, data / FOLDER, cache=cache, sheets=sheets, **sizes)


def _with_real_slices(
    first: RADnet,
    sets: list[Arrays],
    tuning: list[Arrays],
    folder: Path,
    *,
    cache: Path,
    sheets: Path | None,
    studies: int,
    steps: int,
    real_steps: int,
    tests: int,
) -> Trained:
    heads = read_heads(folder, SETTINGS)
    weights = stored_precision(first.state_dict())

    def again() -> RADnet:
        fresh = cast(RADnet, build_network(NETWORK.name, stored_arguments(ARGUMENTS)))
        fresh.load_state_dict(weights)
        return fresh

    def phantoms(count: int, generator: np.random.Generator) -> Iterator[dict[str, Tensor]]:
        return phantom_batches(sets, count, generator, scans=1)

    shaped = (heads.images, heads.bleeding, real_steps, len(sets), getsource(real_heads))
    kept = Remembered(cache / "cross-validation", weights, *shaped)
    scores = cross_validate(again, heads, phantoms, steps=real_steps, kept=kept)
    network = fit_to_heads(again(), heads, np.arange(len(heads.bleeding)), phantoms, steps=real_steps)
    network.load_state_dict(stored_precision(network.state_dict()))
    # Chosen on the single slices alone it stands so high that bleeds of phantoms are missed: both kinds count alike.
    slice_threshold, mask_threshold = operating_points(network, tuning, (heads.bleeding, scores["images"]))
    card = make_card(studies, steps, slice_threshold, mask_threshold, real=len(heads.bleeding), real_steps=real_steps)
    shipped = {name: score_heads(network, getattr(heads, name)) for name in ("images", "neutral")}
    masks = mask_heads(network, heads.images)
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        shown = mask_panels(heads, masks, shipped["images"], mask_threshold, images=True)
        (sheets / "hemorrhage-masks.png").write_bytes(sheet_bytes(shown, columns=10))
    flat = mask_panels(heads, masks, shipped["images"], mask_threshold, images=False)
    picture, files = mask_sheet(flat, caption=mask_caption(heads, masks, mask_threshold))
    command = command_for("hemorrhage", data=True)
    figures = [
        *cross_validated(heads, scores, package=PACKAGE),
        *at_threshold(heads, scores["images"], slice_threshold, command=command),
        *resubstituted(heads, shipped, package=PACKAGE, command=command),
        *evaluate(network, card, tests=tests, command=command),
    ]
    return Trained(
        network,
        card.model_copy(update={"evaluation": figures, "pictures": [picture]}),
        text=real_text(network, tuning, slice_threshold),
        documents={**score_tables(heads, scores), **files},
        changelog={
            "0.1.0": "first model, fitted to phantoms",
            "0.2.0": f"fitted to {len(heads.bleeding)} real head CT slices as well, with bleeds drawn into them",
        },
    )
