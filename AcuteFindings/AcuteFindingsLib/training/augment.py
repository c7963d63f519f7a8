"""Random changes of a batch of pictures and their masks, on tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def augment(
    images: Tensor,
    masks: Tensor | None = None,
    *,
    rotate_deg: float = 10.0,
    scale: float = 0.1,
    shift: float = 0.05,
    flip: bool = True,
    contrast: float = 0.1,
    noise: float = 0.02,
    groups: int = 1,
    mask_mode: str = "nearest",
) -> tuple[Tensor, Tensor | None]:
    """Rotate, scale, shift, mirror, change contrast and add noise.

    Parameters
    ----------
    images
        ``(n, c, y, x)`` in 0..1.
    masks
        ``(n, k, y, x)`` moved along with them.
    groups
        How many neighboring pictures share one movement (the slices of one scan).
    mask_mode
        How masks are read between pixels: "nearest", or "bilinear" for those that hold the share of a pixel.
    """
    count = len(images) // groups
    angle = torch.deg2rad((torch.rand(count) * 2 - 1) * rotate_deg)
    factor = 1 + (torch.rand(count) * 2 - 1) * scale
    mirror = torch.where((torch.rand(count) < 0.5) & torch.tensor(flip), -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * angle.cos() / factor, -angle.sin() / factor
    theta[:, 1, 0], theta[:, 1, 1] = mirror * angle.sin() / factor, angle.cos() / factor
    theta[:, :, 2] = (torch.rand(count, 2) * 2 - 1) * shift
    grid = functional.affine_grid(theta.repeat_interleave(groups, 0), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved_masks = None
    if masks is not None:
        moved_masks = functional.grid_sample(masks, grid, mode=mask_mode, align_corners=False)
    gain = (1 + (torch.rand(count, 1, 1, 1) * 2 - 1) * contrast).repeat_interleave(groups, 0)
    offset = ((torch.rand(count, 1, 1, 1) * 2 - 1) * contrast / 2).repeat_interleave(groups, 0)
    strength = (torch.rand(count, 1, 1, 1) * noise).repeat_interleave(groups, 0)
    moved = (moved - 0.5) * gain + 0.5 + offset * (moved > 0.01) + strength * torch.randn_like(moved)
    # Convolutions on a processor are a third faster on channels-last pictures.
    return moved.clamp(0, 1).contiguous(memory_format=torch.channels_last), moved_masks


def at_size(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Return masks ``(n, k, y, x)`` of 0 and 1 with `size` pixels, 1 where a half or more of a pixel is marked."""
    if masks.shape[-2:] == size:
        return masks
    share = functional.interpolate(masks, size=list(size), mode="area")
    return (share >= 0.5).to(masks.dtype)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return one minus the soft Dice of a whole batch, so that empty pictures need no convention of their own."""
    probability = logits.float().sigmoid()
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return soft Dice plus binary cross-entropy for a batch of masks."""
    return dice_loss(logits, target) + functional.binary_cross_entropy_with_logits(logits.float(), target)
