import torch

from AcuteFindingsLib.training.augment import augment, dice_loss, mask_loss


def blob(count: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 48, 48)
    images[:, :, 14:26, 20:38] = 1.0
    return images


def test_the_mask_moves_with_its_picture() -> None:
    torch.manual_seed(0)
    images = blob(8)
    moved, masks = augment(images, images.clone(), rotate_deg=30, scale=0.2, shift=0.2, contrast=0, noise=0)
    assert masks is not None
    assert ((moved > 0.5) != (masks > 0.5)).float().mean() < 0.01
    assert (masks != images).float().mean() > 0.02, "nothing was moved"
    assert set(masks.unique().tolist()) <= {0.0, 1.0}


def test_a_mask_of_shares_moves_without_becoming_jagged() -> None:
    torch.manual_seed(0)
    moved, masks = augment(blob(8), blob(8), rotate_deg=30, contrast=0, noise=0, mask_mode="bilinear")
    assert masks is not None
    torch.testing.assert_close(moved, masks)
    assert ((masks > 0.1) & (masks < 0.9)).any()


def test_pictures_stay_within_0_and_1_and_differ_from_each_other() -> None:
    torch.manual_seed(1)
    moved, masks = augment(torch.rand(4, 1, 32, 32), contrast=0.5, noise=0.3)
    assert masks is None
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1


def test_the_slices_of_one_scan_move_together() -> None:
    torch.manual_seed(2)
    moved, _ = augment(blob(6), groups=3, noise=0)
    assert torch.equal(moved[0], moved[1])
    assert torch.equal(moved[3], moved[5])
    assert not torch.equal(moved[0], moved[3])


def test_without_flip_nothing_is_mirrored() -> None:
    torch.manual_seed(3)
    images = torch.zeros(16, 1, 32, 32)
    images[..., :8] = 1.0
    moved, _ = augment(images, rotate_deg=0, scale=0, shift=0, flip=False, contrast=0, noise=0)
    torch.testing.assert_close(moved, images)


def test_a_better_mask_has_a_lower_loss() -> None:
    target = blob(2)
    right, wrong = target * 20 - 10, 10 - target * 20
    assert float(dice_loss(right, target)) < 0.01 < 0.9 < float(dice_loss(wrong, target))
    assert float(mask_loss(right, target)) < float(mask_loss(right * 0, target)) < float(mask_loss(wrong, target))
