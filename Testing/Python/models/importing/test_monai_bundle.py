"""MONAI bundles, folders and zip files."""

import json
import shutil

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, DenseNet121

from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.proof import TOLERANCE
from AcuteFindingsLib.models.load import load_predictor

UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [8, 8, 8, 8, 8, 8]}
OPTIONS = Options(task="lungs", size=64)


def bundle(folder, network, definition, **config):
    torch.manual_seed(2)
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    metadata = {"version": "0.3.1", "name": "Somebody's", "network_data_format": {}}
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "configs/inference.json").write_text(json.dumps({**config, "network_def": definition}))
    torch.save(network.state_dict(), folder / "models/model.pt")
    return folder


@pytest.fixture
def network():
    torch.manual_seed(1)
    return BasicUNet(**UNET).eval()


@pytest.mark.parametrize("packed", [False, True])
def test_a_unet_of_two_classes_becomes_a_lung_segmenter(tmp_path, network, packed):
    definition = {"_target_": "BasicUNet", **UNET, "in_channels": "@channels"}
    path = bundle(tmp_path / "b", network, definition, channels=1)
    if packed:
        path = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "b")
    package = import_model(path, architecture="monai-bundle", out=tmp_path / "p", options=OPTIONS)
    assert package.card.origin.compared_with == "MONAI"
    assert package.card.origin.largest_difference <= TOLERANCE
    batch = np.random.default_rng(3).uniform(0, 1, (1, 1, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        share = torch.softmax(network(torch.from_numpy(batch)), dim=1)[:, 1].numpy()
    given = load_predictor(package, device="cpu").predict(batch)["mask"][:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-given)), share, atol=1e-5)


@pytest.mark.slow
def test_a_classifier_becomes_a_chest_model(tmp_path):
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    definition = {"_target_": "monai.networks.nets.DenseNet121", **arguments}
    path = bundle(tmp_path / "b", DenseNet121(**arguments), definition)
    options = Options(task="chest", size=64, labels=("pneumothorax", "effusion"))
    package = import_model(path, architecture="monai-bundle", out=tmp_path / "p", options=options)
    assert package.card.origin.largest_difference <= TOLERANCE


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ({"_target_": "BasicUNet", **UNET, "features": "$[8] * 6"}, r"features is the expression '\$\[8\] \* 6'"),
        ({"_target_": "scripts.mine.Net"}, "custom code and not one of MONAI's"),
        ({"_target_": "BasicUNet", **UNET, "spatial_dims": 3}, r"reads volumes.*--as monai-bundle-3d"),
        ({"_target_": "BasicUNet", **UNET, "act": {"_target_": "os.system"}}, "act is an object that code would build"),
    ],
)
def test_a_bundle_whose_network_needs_code_or_volumes_is_refused(tmp_path, network, definition, told):
    path = bundle(tmp_path / "b", network, definition)
    with pytest.raises(ModelError, match=told):
        import_model(path, architecture="monai-bundle", out=tmp_path / "p", options=OPTIONS)


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ModelError, match="truncated"):
        import_model(tmp_path / "x.zip", architecture="monai-bundle", out=tmp_path / "p", options=OPTIONS)


def test_networks_for_volumes_are_no_packages_and_the_way_to_use_them_is_told(tmp_path):
    (tmp_path / "plans.json").write_text("{}")
    with pytest.raises(ModelError, match="providers add FOLDER --as nnunet"):
        recognize(tmp_path)
    with pytest.raises(ModelError, match="providers add FOLDER --as nnunet"):
        import_model(tmp_path, architecture="nnunet", out=tmp_path / "p", options=OPTIONS)
