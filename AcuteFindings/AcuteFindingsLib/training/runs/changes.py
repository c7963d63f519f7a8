"""A recipe's random changes of pictures and their masks, on tensors, wherever they lie."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

from AcuteFindingsLib.training.recipes.plans import Augmentation, Change, Span

# Points a side of the random field that elastic changes are interpolated from.
_ELASTIC_POINTS = 6


def apply_changes(
    images: Tensor, masks: Tensor | None, plan: Augmentation, *, positive: Tensor, groups: int = 1
) -> tuple[Tensor, Tensor | None]:
    """Change pictures as a recipe says.

    Parameters
    ----------
    images
        ``(n, c, y, x)`` in 0..1.
    masks
        ``(n, k, y, x)``, perhaps at another size, moved along, nearest pixel.
    plan
        One of its changes is drawn for each group.
    positive
        ``(n / groups,)`` bool: which share of the plan counts.
    groups
        How many neighboring pictures share one change (the slices of one scan).
    """
    count = len(images) // groups
    if not plan.changes or not count:
        return images, masks
    shares = torch.where(positive.cpu(), plan.of_positives, plan.of_negatives)
    changed = torch.rand(count) < shares
    chosen = torch.randint(len(plan.changes), (count,))
    changes = [plan.changes[int(n)] if bool(c) else Change() for n, c in zip(chosen, changed, strict=True)]
    changes = [one if float(torch.rand(())) < one.share else Change() for one in changes]
    images, masks = _moved(images, masks, changes, groups)
    images = torch.cat([_retoned(part, one) for part, one in zip(images.split(groups), changes, strict=True)])
    return images, masks


def at_random_size(images: Tensor, masks: Tensor, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return pictures and masks ``(n, c, y, x)`` with one of the shares of their pixels per side, drawn evenly."""
    share = shares[int(torch.randint(len(shares), ()))] if shares else 1.0
    if share == 1:
        return images, masks
    small, fewer = (_resized(planes, share) for planes in (images, masks))
    return small, (fewer >= 0.5).to(masks.dtype)


def _resized(planes: Tensor, share: float) -> Tensor:
    """Return planes with a share of the pixels per side, every pixel the mean of what it covers."""
    size = [max(round(share * length), 1) for length in planes.shape[-2:]]
    return functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)


def _moved(images: Tensor, masks: Tensor | None, changes: list[Change], groups: int) -> tuple[Tensor, Tensor | None]:
    if not any(_moves(one) for one in changes):
        return images, masks
    angle = torch.deg2rad(_drawn([one.rotate_deg for one in changes]))
    factor = _drawn([one.zoom for one in changes])
    mirror = torch.where(torch.rand(len(changes)) < torch.tensor([one.flip for one in changes]), -1.0, 1.0)
    theta = torch.zeros(len(changes), 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * angle.cos() / factor, -angle.sin() / factor
    theta[:, 1, 0], theta[:, 1, 1] = mirror * angle.sin() / factor, angle.cos() / factor
    # The grid says where each pixel comes from, in a picture that spans 2.
    theta[:, 0, 2] = -2 * _drawn([one.shift_x for one in changes])
    theta[:, 1, 2] = -2 * _drawn([one.shift_y for one in changes])
    field = (torch.rand(len(changes), 2, _ELASTIC_POINTS, _ELASTIC_POINTS) * 2 - 1) * 2
    field *= _drawn([one.elastic for one in changes]).reshape(-1, 1, 1, 1)
    images = _sample(images, theta, field, groups, mode="bilinear")
    return images, None if masks is None else _sample(masks, theta, field, groups, mode="nearest")


def _sample(planes: Tensor, theta: Tensor, field: Tensor, groups: int, *, mode: str) -> Tensor:
    theta, field = theta.to(planes), field.to(planes)
    grid = functional.affine_grid(theta, [len(theta), 1, *planes.shape[-2:]], align_corners=False)
    if bool(field.any()):
        size = list(planes.shape[-2:])
        fine = functional.interpolate(field, size=size, mode="bicubic", align_corners=True)
        grid = grid + fine.permute(0, 2, 3, 1)
    grid = grid.repeat_interleave(groups, 0)
    padding = "border" if mode == "bilinear" else "zeros"
    return functional.grid_sample(planes, grid, mode=mode, padding_mode=padding, align_corners=False)


def _retoned(images: Tensor, change: Change) -> Tensor:
    contrast, brightness, noise, blur, gamma = (
        float(_drawn([span])[0])
        for span in (change.contrast, change.brightness, change.noise, change.blur, change.gamma)
    )
    if gamma:
        images = images.clamp(0, 1) ** math.exp(gamma)
    if change.resolution != (1.0, 1.0):
        size = images.shape[-2:]
        images = _resized(images, float(_drawn([change.resolution])[0]))
        images = functional.interpolate(images, size, mode="bilinear", align_corners=False)
    if blur > 0.05:
        images = gaussian_blur(images, kernel_size=2 * int(3 * blur + 1) + 1, sigma=blur)
    if contrast or brightness:
        # Black stays black: outside the patient, and where a mask took the picture away.
        images = torch.where(images > 0.01, (images - 0.5) * (1 + contrast) + 0.5 + brightness, images)
    if noise:
        images = images + noise * torch.randn_like(images)
    return images.clamp(0, 1) if contrast or brightness or noise else images


def _moves(change: Change) -> bool:
    still = ((0.0, 0.0),) * 3
    shifts = (change.rotate_deg, change.shift_x, change.shift_y)
    return shifts != still or change.zoom != (1.0, 1.0) or change.flip > 0 or change.elastic != (0.0, 0.0)


def _drawn(spans: list[Span]) -> Tensor:
    low, high = torch.tensor(spans).T
    return low + (high - low) * torch.rand(len(spans))


def random_crops(images: Tensor, masks: Tensor | None, side: int) -> tuple[Tensor, Tensor | None]:
    """Return the same random square of each picture and its mask: ``(n, c, side, side)``; smaller ones stay whole.

    Where a picture's mask shows something, half of the squares are laid so that they hold a pixel of it.
    """
    rows, columns = images.shape[-2:]
    if rows <= side and columns <= side:
        return images, masks
    pictures, planes = [], []
    for number, image in enumerate(images):
        top = int(torch.randint(max(rows - side, 0) + 1, ()))
        left = int(torch.randint(max(columns - side, 0) + 1, ()))
        inside = None if masks is None else masks[number, 0].nonzero()
        if inside is not None and len(inside) and float(torch.rand(())) < 0.5:
            y, x = (int(value) for value in inside[int(torch.randint(len(inside), ()))])
            top = min(max(y - int(torch.randint(side, ())), 0), max(rows - side, 0))
            left = min(max(x - int(torch.randint(side, ())), 0), max(columns - side, 0))
        pictures.append(image[:, top : top + side, left : left + side])
        if masks is not None:
            planes.append(masks[number, :, top : top + side, left : left + side])
    return torch.stack(pictures), torch.stack(planes) if planes else None
