import pytest
import torch
from torch.nn import functional

from AcuteFindingsLib.training.losses import WeightedLoss, dice_loss, known_bce
from AcuteFindingsLib.training.recipes.plans import OutputLoss


def test_the_fourth_places_loss_is_its_weighted_sum() -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(3, 1, 8, 8), (torch.rand(3, 1, 8, 8) > 0.7).float()
    empty, nothing = torch.randn(3, 1), torch.zeros(3, 1)
    loss = WeightedLoss({"mask": OutputLoss(bce=2.7, dice=0.9), "empty": OutputLoss(bce=0.1)})
    value, parts = loss({"mask": logits, "empty": empty}, {"mask": truth, "empty": nothing}, {})
    probability = logits.sigmoid()
    dice = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    bce = functional.binary_cross_entropy_with_logits
    expected = 2.7 * bce(logits, truth) + 0.9 * dice + 0.1 * bce(empty, nothing)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert set(parts) == {"mask", "empty"}


def test_unknown_labels_do_not_count() -> None:
    logits, truth = torch.tensor([[0.0, 5.0]]), torch.tensor([[1.0, 0.0]])
    known = torch.tensor([[1.0, 0.0]])
    assert float(known_bce(logits, truth, known)) == pytest.approx(0.6931, abs=1e-4)
    assert float(known_bce(logits, truth, 0 * known)) == 0


def test_positives_and_labels_can_weigh_more() -> None:
    logits, truth = torch.zeros(1, 2), torch.tensor([[1.0, 1.0]])
    plain = known_bce(logits, truth)
    assert float(known_bce(logits, truth, positive_weight=3)) == pytest.approx(3 * float(plain))
    assert float(known_bce(logits, truth, label_weights=(2.0, 0.0))) == pytest.approx(float(plain))


@pytest.mark.parametrize("term", ["dice", "lovasz"])
def test_overlap_is_best_where_the_mask_is_right_and_ignores_pictures_without_truth(term: str) -> None:
    truth = torch.zeros(2, 1, 8, 8)
    truth[:, :, 2:6, 2:6] = 1
    loss = WeightedLoss({"mask": OutputLoss(**{term: 1.0})})
    right = 20 * (truth - 0.5)
    assert float(loss({"mask": right}, {"mask": truth}, {})[0]) < 0.05
    wrong = right.clone()
    wrong[1] *= -1
    known = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)
    assert float(loss({"mask": wrong}, {"mask": truth}, {})[0]) > 0.3
    assert float(loss({"mask": wrong}, {"mask": truth}, {"mask": known})[0]) < 0.05
    assert float(loss({"mask": wrong}, {"mask": truth}, {"mask": 0 * known})[0]) == 0


def test_a_better_mask_has_a_lower_loss() -> None:
    target = torch.zeros(2, 1, 16, 16)
    target[:, :, 4:9, 5:12] = 1
    right = target * 20 - 10
    assert float(dice_loss(right, target)) < 0.01 < 0.9 < float(dice_loss(-right, target))
