"""A slice's own answer is a line through its encodings before the sequence network learns."""

import numpy as np
import pytest
import torch

from AcuteFindingsLib.errors import RecipeError
from AcuteFindingsLib.networks.pe import PEModel
from AcuteFindingsLib.training.recipes.stages import LineStage
from AcuteFindingsLib.training.runs.batches import EncodedScanSet, join
from AcuteFindingsLib.training.stages.lines import fit_lines

ENCODER = {"backbone": "test_resnet", "decoder": True, "fields": 2, "encoding": 4}
SEQUENCE = {"length": 8, "encoding": 4, "hidden": 4, "stack_top": 2, "residual": True, "lasting": True}


def stacks() -> list[dict[str, np.ndarray]]:
    """Series in which a high number in two slices one after the other, in one place, is what is looked for."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(6):
        encodings = rng.normal(-3, 0.5, (8, 4)).astype(np.float32)
        labels = np.zeros(8, np.float32)
        if number % 2:
            encodings[3:5, 1], labels[3:5] = 3.0, 1.0
        labels[7] = np.nan
        made.append({"encodings": encodings, "slices": labels, "labels": labels[:, None], "source": "data"})
    return made


def test_the_lines_tell_positive_slices_and_the_rest_adds_nothing_yet() -> None:
    torch.manual_seed(0)
    network = PEModel(encoder=ENCODER, sequence=SEQUENCE).eval()
    series = stacks()
    fit_lines(network, series, LineStage(stack=(0.75, 0.25)))
    with torch.inference_mode():
        for one in series:
            encodings = torch.from_numpy(one["encodings"])
            own = network.encoder.head(encodings)["slice"][:, 0]
            answer = network.sequence_network(encodings[None])
            known = ~np.isnan(one["slices"])
            assert ((own.numpy() > 0)[known] == (one["slices"] > 0)[known]).all()
            assert ((answer["slice"][0].numpy() > 0)[known] == (one["slices"] > 0)[known]).all()
            highest = answer["slice"][0].topk(2).values.clamp(-8, 8)
            assert float(answer["stack"]) == pytest.approx(float(0.75 * highest[0] + 0.25 * highest[1]), abs=1e-4)


def test_as_many_weights_as_the_stack_output_reads_are_asked_for() -> None:
    with pytest.raises(RecipeError, match="expected 2 weights, got 3"):
        fit_lines(PEModel(encoder=ENCODER, sequence=SEQUENCE), stacks(), LineStage(stack=(1, 0, 0)))


def test_encoded_scans_run_either_way_up_in_training_and_are_padded_together() -> None:
    series = stacks()
    series[0] = {name: value[:5] if isinstance(value, np.ndarray) else value for name, value in series[0].items()}
    examples = EncodedScanSet(series, seed=0)
    batch = join([examples[0], examples[1]])
    assert batch["encodings"].shape == (2, 8, 4)
    assert batch["valid"].sum(dim=1).tolist() == [5, 8]
    first = torch.from_numpy(series[1]["encodings"])
    shown = [examples[1, draw]["encodings"] for draw in range(20)]
    assert any(torch.equal(one, first) for one in shown)
    assert any(torch.equal(one, first.flip(0)) for one in shown)
