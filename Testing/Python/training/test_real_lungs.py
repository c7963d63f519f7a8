from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from AcuteFindingsLib.detectors.radiograph import RadiographSettings
from AcuteFindingsLib.networks.chest import LungUNet
from AcuteFindingsLib.training.data.load import load_mask
from AcuteFindingsLib.training.real_lungs import RealLungs, cross_validate, fit_to_lungs, read_lungs

SETTINGS = RadiographSettings(size=64, mean=0.5, std=0.25)


@pytest.fixture(scope="module")
def real(native) -> RealLungs:
    return read_lungs(native("lung-masks"), SETTINGS)


def scaled(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


def network() -> nn.Module:
    torch.manual_seed(0)
    return LungUNet(channels=(4, 8, 16))


def phantoms(real: RealLungs) -> list[dict[str, np.ndarray]]:
    return [{"image": image, "lungs": lungs} for image, lungs in zip(real.images[:3], real.lungs[:3], strict=True)]


def test_radiographs_and_masks_are_read_as_they_are_and_as_the_network_sees_them(real: RealLungs) -> None:
    assert len(real.pictures) == len(real.masks) == 8
    assert real.images.shape == real.lungs.shape == (8, 64, 64)
    assert {0, 255} <= set(np.unique(real.lungs))
    for example, mask in zip(real.table.examples, real.masks, strict=True):
        assert np.array_equal(mask, load_mask(example, mask.shape))
    assert len(set(real.patients)) == 4


def test_no_patient_is_outlined_by_a_network_that_saw_them(real: RealLungs) -> None:
    seen: list[set[str]] = []

    def outline(_network: nn.Module, picture: np.ndarray) -> np.ndarray:
        (number,) = [n for n, other in enumerate(real.pictures) if other is picture]
        return real.masks[number]

    found = cross_validate(network, real, phantoms(real), outline, steps=1)
    assert found["dice"] == pytest.approx(np.ones(8))
    assert np.array_equal(found["drawn"], real.lungs >= 128)
    for fold in set(found["fold"]):
        seen.append(set(real.patients[found["fold"] == fold]))
    assert len(seen) == 4
    assert sum(map(len, seen)) == len(set(real.patients)), "each patient is held out once, with all radiographs"


@pytest.mark.parametrize("with_real", [True, False])
def test_fitting_learns_to_outline(real: RealLungs, with_real: bool, tmp_path: Path) -> None:
    given = real if with_real else None
    everyone = np.arange(8 if with_real else 0)
    fitted = fit_to_lungs(network, given, everyone, phantoms(real), steps=12)
    with torch.inference_mode():
        pictures = scaled(torch.from_numpy(real.images[:, None]).float() / 255)
        soft = fitted(pictures)["mask"].sigmoid()[:, 0].numpy()
    assert soft[real.lungs == 255].mean() > soft[real.lungs == 0].mean() + 0.05


def test_what_is_fitted_to_comes_in_several_sizes(real: RealLungs) -> None:
    sizes = set()

    def start() -> nn.Module:
        made = network()
        made.register_forward_pre_hook(lambda _module, given: sizes.add(given[0].shape[-1]))
        return made

    fit_to_lungs(start, real, np.arange(8), phantoms(real), steps=12)
    assert sizes == {43, 53, 64}
