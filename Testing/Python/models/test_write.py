import json

import pytest
import torch
from safetensors.torch import load_file

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.metadata import Picture
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.runtime.torch_weights import load_network
from AcuteFindingsLib.models.verify import verify_package

WEIGHTS = "models/model.safetensors"


def test_half_precision_halves_the_weights_and_keeps_statistics_and_counters(tmp_path, network, write, build):
    network.block[1].num_batches_tracked += 5
    network.block[1].running_var[0] = 1e-9
    package = write(tmp_path / "half", network.state_dict(), half=True)
    stored = load_file(package.folder / WEIGHTS)
    assert stored["block.0.weight"].dtype == torch.float16
    assert stored["block.1.running_var"].dtype == torch.float32
    loaded = load_network(package, build=build).state_dict()
    assert int(loaded["block.1.num_batches_tracked"]) == 5
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-7)


def test_full_precision_comes_back_bit_for_bit(tmp_path, network, write, build):
    package = write(tmp_path / "full", network.state_dict(), half=False)
    loaded = load_network(package, build=build).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_values_beyond_float16_are_kept_in_full(tmp_path, network, write):
    network.head.weight.data[0, 0] = 1e6
    package = write(tmp_path / "large", network.state_dict(), half=True)
    stored = load_file(package.folder / WEIGHTS)["head.weight"]
    assert stored.dtype == torch.float32
    assert float(stored[0, 0]) == 1e6


def test_an_existing_folder_is_not_overwritten_unless_asked(package, network, write):
    before = package.sha256
    network.head.bias.data += 1
    with pytest.raises(ModelError, match="exists already"):
        write(package.folder, network.state_dict())
    assert read_package(package.folder).sha256 == before
    assert write(package.folder, network.state_dict(), replace=True).sha256 != before
    assert [path.name for path in package.folder.parent.iterdir()] == ["tiny-test"]


@pytest.mark.parametrize("fault", ["nan", "name", "shape"])
def test_what_would_not_verify_is_not_written_and_the_old_package_stays(package, network, write, build, fault):
    state = dict(network.state_dict())
    if fault == "nan":
        state["head.bias"] = torch.tensor([0.0, float("inf")])
    elif fault == "name":
        state["more"] = torch.zeros(1)
    else:
        state["head.bias"] = torch.zeros(5)
    with pytest.raises(ModelError):
        write(package.folder, state, replace=True)
    verify_package(read_package(package.folder), build=build)
    assert [path.name for path in package.folder.parent.iterdir()] == ["tiny-test"]


def test_the_same_weights_give_the_same_files(tmp_path, network, write):
    first = write(tmp_path / "a", network.state_dict())
    second = write(tmp_path / "b", network.state_dict())
    assert first.checksums == second.checksums


def test_the_model_card_tells_use_limits_data_figures_and_thresholds(package):
    text = package.read_card_text()
    for wanted in (
        "Research use only",
        "phantoms only",
        "Research on detection.",
        "Sees phantoms only.",
        "40 head phantoms",
        "| AUC | 0.960 | 0.910 to 0.990 | 80 | phantoms |",
        "| slice | any | 0.5 | Youden on validation |",
        "BSD-3-Clause",
        "RADnet (2017)",
        "A word more.",
    ):
        assert wanted in text


def test_the_model_card_tells_the_figures_of_its_authors_as_theirs(package, tmp_path, network, write, make_card):
    assert "Published figures" not in package.read_card_text()
    figure = {
        "metric": "AUROC, series",
        "label": "any",
        "value": 0.98,
        "data": "held out",
        "count": "989",
        "source": "s",
    }
    written = write(tmp_path / "other", network.state_dict(), card=make_card(published=[figure]))
    text = written.read_card_text()
    assert "## Published figures\n\nAs its authors state; not measured with this package." in text
    assert "| AUROC, series | any | 0.980 | not stated | 989 | held out | s |" in text


def test_the_metadata_has_every_field_that_monai_demands(package):
    data = json.loads((package.folder / "configs/metadata.json").read_text())
    wanted = "version monai_version pytorch_version numpy_version required_packages_version task description authors"
    assert not [
        name for name in [*wanted.split(), "copyright", "network_data_format", "changelog"] if not data.get(name)
    ]


def test_a_picture_of_the_card_is_in_the_package_and_shown(tmp_path, network, write, make_card):
    card = make_card(pictures=[Picture(file="masks.png", caption="Masks of\n70 slices.")])
    package = write(
        tmp_path / "shown", network.state_dict(), card=card, documents={"masks.png": b"PNG", "folds.csv": b"1"}
    )
    assert (package.folder / "docs" / "masks.png").read_bytes() == b"PNG"
    assert {"docs/masks.png", "docs/folds.csv"} <= set(package.checksums)
    assert "![Masks of 70 slices.](masks.png)" in package.read_card_text()
    assert package.card == card
    with pytest.raises(ModelError, match=r"masks\.png"):
        write(tmp_path / "lacking", network.state_dict(), card=card)
    assert not (tmp_path / "lacking").exists()
