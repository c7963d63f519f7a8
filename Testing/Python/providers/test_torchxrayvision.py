"""Against the real package: its own networks, with random weights where it looks for its files."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import requests
import torch

from AcuteFindingsLib.errors import CancelledError, ModelError, ProviderError
from AcuteFindingsLib.models.runtime.torch_predictor import TorchPredictor
from AcuteFindingsLib.providers.torchxrayvision import networks as provider
from AcuteFindingsLib.providers.torchxrayvision.detector import XrvPneumothoraxDetector, image_scorer
from AcuteFindingsLib.providers.torchxrayvision.networks import (
    FINDINGS,
    WEIGHTS,
    ChestFindings,
    load_chest,
    load_lungs,
    package_of,
)

xrv = pytest.importorskip("torchxrayvision", reason="TorchXRayVision is not installed (extra [test])")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder of weights, with a random DenseNet as its authors save it: the whole network, old format."""
    folder = tmp_path_factory.mktemp("models_data")
    torch.manual_seed(1)
    file = folder / Path(xrv.models.model_urls[WEIGHTS]["weights_url"]).name
    torch.save(xrv.models.DenseNet(num_classes=18), file, _use_new_zipfile_serialization=False)
    return folder


@pytest.fixture(scope="module")
def chest(cache: Path) -> TorchPredictor:
    return load_chest(device="cpu", cache=cache)


@pytest.fixture(scope="module")
def lungs() -> TorchPredictor:
    """Lungs where the picture is dark, at the place of the package's network."""

    class Dark(torch.nn.Module):
        targets = xrv.baseline_models.chestx_det.PSPNet.targets

        def forward(self, images):
            mask = torch.zeros(len(images), len(self.targets), *images.shape[2:])
            mask -= 5
            mask[:, self.targets.index("Left Lung")] = torch.where(images[:, 0] < -300, 5.0, -5.0)
            return mask

    card = package_of(task="lungs", version="1.5", sha256="cd" * 32).card
    return TorchPredictor(provider.LungFields(Dark()), card=card, version="1.5", sha256="cd" * 32, device="cpu")


def test_the_package_still_has_the_interface_that_is_used() -> None:
    assert list(inspect.signature(xrv.models.get_weights).parameters)[:2] == ["weights", "cache_dir"]
    assert {"weights", "cache_dir", "op_threshs"} <= set(inspect.signature(xrv.models.DenseNet).parameters)
    assert "cache_dir" in inspect.signature(xrv.baseline_models.chestx_det.PSPNet).parameters
    assert callable(xrv.utils.get_cache_dir)
    assert "weights_url" in xrv.models.model_urls[WEIGHTS]


def test_its_18_findings_are_all_known_by_their_names() -> None:
    assert sorted(theirs for theirs, *_ in FINDINGS) == sorted(xrv.models.model_urls[WEIGHTS]["labels"])
    names = [name for _, name, *_ in FINDINGS]
    assert len(set(names)) == 18


@pytest.mark.slow
def test_probabilities_are_the_packages_own_at_its_operating_points(cache, chest) -> None:
    network = xrv.models.DenseNet(weights=WEIGHTS, cache_dir=str(cache))
    picture = np.random.default_rng(0).uniform(-1024, 1024, (2, 1, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        theirs = network(torch.from_numpy(picture)).numpy()
    ours = 1 / (1 + np.exp(-chest.predict(picture)["pathologies"]))
    for number, (name, *_) in enumerate(FINDINGS):
        np.testing.assert_allclose(ours[:, number], theirs[:, list(network.targets).index(name)], atol=2e-5)
    assert np.any(np.abs(theirs - 0.5) > 0.05)


def test_the_pictures_scale_is_the_packages(radiograph) -> None:
    from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images

    settings = RadiographSettings.model_validate(
        package_of(task="chest", version="1", sha256="0" * 64).card.preprocessing
    )
    ours = network_images([radiograph.array[0]], settings)
    theirs = xrv.utils.normalize(radiograph.array[0], 1.0)
    assert ours.max() == pytest.approx(theirs.max(), abs=1)
    assert ours.shape == (1, 1, 224, 224)
    # What pads the picture is black.
    assert ours.min() == -1024


@pytest.mark.slow
def test_the_pspnet_is_the_packages_own_and_gives_both_lungs(tmp_path, radiograph) -> None:
    from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet

    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in pspnet(14).state_dict().items()}
    torch.save(state, tmp_path / "pspnet_chestxray_best_model_4.pth")
    predictor = load_lungs(device="cpu", cache=tmp_path)
    picture = np.random.default_rng(0).uniform(-1024, 1024, (1, 1, 512, 512)).astype(np.float32)
    mask = predictor.predict(picture)["mask"]
    with torch.inference_mode():
        theirs = predictor.network.network(torch.from_numpy(picture)).numpy()
    targets = list(predictor.network.network.targets)
    assert mask.shape == (1, 1, 512, 512)
    np.testing.assert_allclose(
        mask[0, 0], theirs[0, [targets.index("Left Lung"), targets.index("Right Lung")]].max(0), atol=1e-4
    )


@pytest.mark.slow
def test_a_radiograph_becomes_a_finding_that_says_whose_model_it_is(chest, lungs, radiograph) -> None:
    finding = XrvPneumothoraxDetector(chest=chest, lungs=lungs).run(radiograph)
    assert finding.model.id == "torchxrayvision"
    assert finding.model.version == chest.version
    assert (
        finding.model.sha256
        == chest.sha256
        == package_of(task="chest", version=chest.version, sha256=chest.sha256).sha256
    )
    assert finding.labels[0] == "pneumothorax"
    assert len(finding.labels) == 18
    assert finding.verdict.label in ("positive", "negative")
    assert (finding.verdict.probability >= 0.5) == (finding.verdict.label == "positive")
    codes = {notice.code for notice in finding.warnings}
    assert {"provider-model", "operating-point-not-calibrated", "no-outline"} <= codes
    # It stands beside negative answers too.
    assert "says whether there is a pneumothorax" in next(n.text for n in finding.warnings if n.code == "no-outline")
    assert "arxiv.org/abs/2111.00595" in next(n.text for n in finding.warnings if n.code == "provider-model")
    names = {item.name for item in finding.measurements}
    assert {"Probability: Pneumothorax", "Probability: Cardiomegaly", "Pneumothorax probability, lungs only"} <= names
    assert finding.heatmap.array.shape == radiograph.array.shape


@pytest.mark.slow
def test_lungs_lie_where_they_are_and_right_is_the_pictures_left(chest, lungs, radiograph) -> None:
    finding = XrvPneumothoraxDetector(chest=chest, lungs=lungs).run(radiograph)
    right, left = finding.masks
    assert (right.name, left.name) == ("Right lung", "Left lung")
    assert right.array[0, 50, 30] == 1
    assert left.array[0, 50, 90] == 1
    assert right.array[0, :, 60:].sum() == left.array[0, :, :60].sum() == 0


def test_cancel_stops_between_the_steps(chest, lungs, radiograph) -> None:
    with pytest.raises(CancelledError):
        XrvPneumothoraxDetector(chest=chest, lungs=lungs).run(radiograph, cancelled=lambda: True)


def test_tables_of_single_pictures(chest, lungs, radiograph) -> None:
    whole = image_scorer("chest", chest).score([radiograph, radiograph])
    assert whole.probabilities.shape == (2, 18)
    one = image_scorer("pneumothorax", chest)
    assert one.labels == ("pneumothorax",)
    column = image_scorer("chest", chest).labels.index("pneumothorax")
    np.testing.assert_allclose(one.score([radiograph]).probabilities[0, 0], whole.probabilities[0, column], atol=1e-5)
    masks = image_scorer("lungs", lungs).score([radiograph]).masks
    assert masks[0].shape == radiograph.array.shape[1:]


def test_weights_that_would_run_code_are_never_opened_by_the_package(tmp_path, monkeypatch) -> None:
    file = tmp_path / Path(xrv.models.model_urls[WEIGHTS]["weights_url"]).name
    network = xrv.models.DenseNet(num_classes=18)
    network.trap = tmp_path.joinpath  # a bound method: pickled as getattr
    torch.save(network, file)
    monkeypatch.setattr(xrv.models, "DenseNet", lambda **_named: pytest.fail("the package opened the file"))
    with pytest.raises(ProviderError, match="could run code"):
        load_chest(device="cpu", cache=tmp_path)


@pytest.mark.slow
def test_without_a_connection_the_error_says_what_to_do(tmp_path, monkeypatch) -> None:
    def offline(*_arguments, **_named):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", offline)
    with pytest.raises(ProviderError, match=r"could not be fetched .*proxy"):
        load_chest(device="cpu", cache=tmp_path)
    with pytest.raises(ProviderError, match=r"could not be fetched .*proxy"):
        load_lungs(device="cpu", cache=tmp_path)


def test_fetching_is_told_as_the_package_draws_its_bar_and_can_be_stopped(tmp_path, monkeypatch) -> None:
    class Answer:
        status_code, headers = 200, {"content-length": "4000000"}

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return False

        def raise_for_status(self):
            return None

        def iter_content(self, chunk_size):
            yield from [bytes(1_000_000)] * 4

    monkeypatch.setattr(requests, "get", lambda *_a, **_n: Answer())
    told = []
    with pytest.raises(ProviderError, match="is damaged"):
        load_chest(device="cpu", cache=tmp_path, progress=lambda text, share: told.append((text, share)))
    assert [share for _, share in told if share][-1] == 1.0
    assert "25 %" not in told[0][0]
    with pytest.raises(CancelledError):
        load_chest(device="cpu", cache=tmp_path / "other", cancelled=lambda: True)


def test_another_set_of_findings_is_refused() -> None:
    class Other(torch.nn.Module):
        targets = ("Pneumothorax",)

    with pytest.raises(ProviderError, match="findings are"):
        ChestFindings(Other())


@pytest.mark.slow
def test_an_unknown_device_is_refused(cache) -> None:
    with pytest.raises(ModelError, match="no device"):
        load_chest(device="abacus", cache=cache)
