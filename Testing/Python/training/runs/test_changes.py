import pytest
import torch

from AcuteFindingsLib.training.recipes.plans import Augmentation, Change
from AcuteFindingsLib.training.runs.changes import apply_changes, at_random_size, random_crops

YES = torch.tensor([True])


def spot(row: int, column: int, side: int = 40) -> torch.Tensor:
    image = torch.zeros(1, 1, side, side)
    image[..., row - 1 : row + 2, column - 1 : column + 2] = 1
    return image


def center(image: torch.Tensor) -> tuple[float, float]:
    rows, columns = torch.meshgrid(torch.arange(image.shape[-2]), torch.arange(image.shape[-1]), indexing="ij")
    weight = image[0, 0] / image[0, 0].sum()
    return float((rows * weight).sum()), float((columns * weight).sum())


def changed(image: torch.Tensor, *, positive: torch.Tensor = YES, plan: dict | None = None, **change):
    augmentation = Augmentation(changes=(Change(**change),), **(plan or {}))
    return apply_changes(image, (image > 0.5).float(), augmentation, positive=positive)


def test_shifts_move_picture_and_mask_by_the_stated_share_of_the_side() -> None:
    image, mask = changed(spot(20, 20), shift_x=(0.25, 0.25), shift_y=(-0.1, -0.1))
    assert center(image) == pytest.approx((16, 30), abs=0.1)
    assert mask is not None
    assert center(mask) == pytest.approx((16, 30), abs=0.5)


def test_zoom_grows_what_is_shown() -> None:
    image = torch.zeros(1, 1, 40, 40)
    image[..., 15:25, 15:25] = 1
    grown, _ = changed(image, zoom=(2, 2))
    assert float(grown.sum()) == pytest.approx(4 * 100, rel=0.1)


def test_flip_mirrors_left_to_right() -> None:
    image, _ = changed(spot(10, 5), flip=1.0)
    assert center(image) == pytest.approx((10, 34), abs=0.1)


def test_half_a_turn_turns_the_picture() -> None:
    image, _ = changed(spot(10, 5), rotate_deg=(180, 180))
    assert center(image) == pytest.approx((29, 34), abs=0.1)


def test_tones_change_the_picture_and_not_the_mask() -> None:
    image = torch.full((1, 1, 20, 20), 0.4)
    for change in ({"brightness": (0.2, 0.2)}, {"contrast": (0.5, 0.5)}, {"noise": (0.1, 0.1)}):
        other, mask = changed(image, **change)
        assert not torch.equal(other, image)
        assert mask is not None
        assert not mask.any()


def test_brightness_leaves_black_outside_the_patient() -> None:
    image, _ = changed(spot(20, 20), brightness=(-0.5, -0.5))
    assert float(image[0, 0, 0, 0]) == 0
    assert float(image.max()) == pytest.approx(0.5)


def test_blur_and_elastic_change_the_picture() -> None:
    torch.manual_seed(0)
    for change in ({"blur": (1, 1)}, {"elastic": (0.1, 0.1)}):
        other, _ = changed(spot(20, 20), **change)
        assert not torch.allclose(other, spot(20, 20), atol=1e-3)


def test_shares_for_positives_and_negatives_are_kept() -> None:
    images = spot(20, 20).repeat(400, 1, 1, 1)
    positive = torch.arange(400) < 200
    torch.manual_seed(0)
    plan = {"of_positives": 1.0, "of_negatives": 0.1}
    moved, _ = changed(images, positive=positive, plan=plan, shift_x=(0.25, 0.25))
    other = (moved - images).flatten(1).abs().amax(1) > 0.1
    assert other[:200].all()
    assert 8 <= int(other[200:].sum()) <= 35


def test_slices_of_one_scan_move_together() -> None:
    images = spot(20, 20).repeat(8, 1, 1, 1)
    torch.manual_seed(0)
    plan = Augmentation(changes=(Change(shift_x=(-0.3, 0.3)),))
    moved, _ = apply_changes(images, None, plan, positive=torch.tensor([True, True]), groups=4)
    for scan in (moved[:4], moved[4:]):
        assert torch.allclose(scan, scan[:1].expand_as(scan))
    assert not torch.allclose(moved[0], moved[4])


def test_crops_are_of_the_stated_side_and_lie_alike_on_picture_and_mask() -> None:
    torch.manual_seed(0)
    images = torch.rand(6, 1, 30, 40)
    crops, masks = random_crops(images, (images > 0.5).float(), 16)
    assert crops.shape == (6, 1, 16, 16)
    assert masks is not None
    assert torch.equal((crops > 0.5).float(), masks)


def test_half_of_the_crops_hold_what_the_mask_shows() -> None:
    torch.manual_seed(0)
    images = spot(3, 3, side=100).repeat(200, 1, 1, 1)
    _, masks = random_crops(images, images.clone(), 20)
    assert masks is not None
    assert 0.4 < float(masks.flatten(1).any(1).float().mean()) < 0.7


def test_a_picture_smaller_than_the_crop_stays_whole() -> None:
    images = torch.rand(2, 1, 10, 12)
    assert random_crops(images, None, 16)[0] is images


def test_gamma_bends_tones_and_keeps_black_and_white() -> None:
    image = torch.tensor([0.0, 0.25, 1.0]).repeat(1, 1, 3, 1)
    other, mask = changed(image, gamma=(0.6931472, 0.6931472))
    assert other[0, 0, 0].tolist() == pytest.approx([0.0, 0.0625, 1.0], abs=1e-5)
    assert torch.equal(mask, (image > 0.5).float())


def test_a_lower_resolution_blurs_and_keeps_the_size() -> None:
    image = spot(20, 20)
    other, mask = changed(image, resolution=(0.25, 0.25))
    assert other.shape == image.shape
    assert 0 < float(other.max()) < 0.7
    assert torch.equal(mask, image)


def test_a_batch_is_shown_at_one_of_the_sizes() -> None:
    images = torch.zeros(2, 1, 40, 40)
    images[..., 10:30, 10:30] = 1
    assert at_random_size(images, images, ()) == (images, images)
    small, mask = at_random_size(images, images, (0.5,))
    assert small.shape == mask.shape == (2, 1, 20, 20)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert float(mask.sum()) == pytest.approx(2 * 100, rel=0.2)
    sides = {at_random_size(images, images, (0.5, 1.0))[0].shape[-1] for _ in range(30)}
    assert sides == {20, 40}
