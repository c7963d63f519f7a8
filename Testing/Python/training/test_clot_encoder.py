import math

import pytest
import torch

from AcuteFindingsLib.training.clot_encoder import peak_loss


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures of 20 by 20 cells, a clot of one cell in the first; nothing is seen anywhere."""
    truth = torch.zeros(2, 1, 20, 20)
    truth[0, 0, 5, 5] = 1
    return torch.full_like(truth, -8.0), truth


def test_a_clot_of_one_cell_weighs_as_much_as_one_of_a_hundred() -> None:
    mask, truth = pictures()
    small = peak_loss(mask, truth)
    truth[0, 0, :10, :10] = 1
    assert peak_loss(mask, truth).item() == pytest.approx(small.item())
    mask[0, 0, 5, 5] = 2.0
    assert peak_loss(mask, truth).item() == pytest.approx(softplus(-8) + softplus(-2) / 2)


def test_the_surest_cell_far_from_clots_is_what_is_mistaken() -> None:
    mask, truth = pictures()
    mask[0, 0, 5, 5] = 3.0
    mask[0, 0, 5, 7] = 9.0
    beside = peak_loss(mask, truth).item()
    assert beside == pytest.approx(softplus(-8) + softplus(-3) / 2), "what touches the clot is no mistake"
    mask[1, 0, 12, 12], mask[1, 0, 3, 3] = 4.0, 1.0
    assert peak_loss(mask, truth).item() == pytest.approx((softplus(-8) + softplus(4)) / 2 + softplus(-3) / 2)


def test_without_a_clot_only_mistakes_count() -> None:
    mask, truth = pictures()
    assert peak_loss(mask, 0 * truth).item() == pytest.approx(softplus(-8))
