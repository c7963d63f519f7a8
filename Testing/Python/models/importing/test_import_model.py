"""What every import does: nothing is written unless it is proven."""

import dataclasses

import numpy as np
import pytest
import torch
from torchvision.models import densenet121
from typer.testing import CliRunner

from AcuteFindingsLib.cli import app
from AcuteFindingsLib.detectors.importing import architectures, import_model, recognize
from AcuteFindingsLib.errors import CancelledError, ModelError
from AcuteFindingsLib.models.find import default_package, list_packages
from AcuteFindingsLib.models.importing import densenet
from AcuteFindingsLib.models.importing import import_model as module
from AcuteFindingsLib.models.importing.converted import Options, Probe, SourceMissingError
from AcuteFindingsLib.models.importing.import_model import Identity
from AcuteFindingsLib.models.importing.proof import largest_difference

pytestmark = pytest.mark.slow

SIZE = Options(size=64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "My Weights.pth"
    torch.save(densenet121(num_classes=14).state_dict(), path)
    return path


@pytest.fixture
def ask(monkeypatch):
    """Let the source answer otherwise: `ask(lambda answers: ...)`."""

    def _ask(change):
        plain = densenet.convert_densenet

        def convert(path, options):
            converted = plain(path, options)
            (probe,) = converted.probes
            return dataclasses.replace(
                converted, probes=(dataclasses.replace(probe, ask=lambda question: change(probe.ask(question))),)
            )

        monkeypatch.setitem(module._ARCHITECTURES, "densenet121", (convert, ""))

    return _ask


@pytest.mark.parametrize("name", ["none.h5", "none.pt", "none.onnx", "none"])
def test_a_file_that_is_not_there_is_told_whatever_its_ending(name, tmp_path):
    with pytest.raises(ModelError, match=f"There is no file .*{name}; correct the path"):
        recognize(tmp_path / name)


def test_a_difference_above_the_tolerance_is_refused_and_nothing_is_written(weights, tmp_path, ask):
    ask(lambda answers: {"pathologies": answers["pathologies"] + 5e-4})
    with pytest.raises(ModelError, match=r"torchvision and the import differ by \d\.\de-04, more than 1e-04"):
        import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_number_is_no_agreement(weights, tmp_path, ask, bad):
    ask(lambda answers: {"pathologies": np.full_like(answers["pathologies"], bad)})
    with pytest.raises(ModelError, match="differ by inf"):
        import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE)


def test_where_the_source_is_not_installed_the_card_says_so(weights, tmp_path, ask):
    def missing(_answers):
        raise SourceMissingError("torchvision is not installed here")

    ask(missing)
    package = import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE)
    assert package.card.origin.largest_difference is None
    assert "**Not compared with its source.** The reason: torchvision is" in package.read_card_text()


def test_a_difference_counts_relative_to_large_numbers_only():
    probe = Probe(np.zeros(1, np.float32), dict)
    assert largest_difference({"a": np.array([200.0])}, {"a": np.array([200.01])}, probe) == pytest.approx(5e-5)
    assert largest_difference({"a": np.array([0.1])}, {"a": np.array([0.2])}, probe) == pytest.approx(0.1)
    with pytest.raises(ModelError, match=r"gives a \(1,\), the import none"):
        largest_difference({"a": np.zeros(1)}, {}, probe)


def test_stopping_writes_nothing(weights, tmp_path):
    with pytest.raises(CancelledError):
        import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE, cancelled=lambda: True)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_kept(weights, tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(ModelError, match="exists already"):
        import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE)


def test_a_part_is_never_taken_for_a_detectors_model(tmp_path):
    torch.save(densenet121().state_dict(), tmp_path / "imagenet.pth")
    import_model(tmp_path / "imagenet.pth", architecture="densenet121", out=tmp_path / "models" / "part")
    found = {package.id for package in list_packages(folders=[tmp_path / "models"], shipped=tmp_path / "none")}
    assert found >= {"part"}
    with pytest.raises(ModelError, match="No model for 'chest'"):
        default_package("chest", folders=[tmp_path / "models"], cache=tmp_path / "none", shipped=tmp_path / "none")


def test_what_a_person_says_stands_in_the_card(weights, tmp_path):
    said = Identity(id="mine", title="Mine", license="CC-BY-4.0", license_text="Do.", trained_on="40 radiographs")
    package = import_model(weights, architecture="densenet121", out=tmp_path / "x", options=SIZE, identity=said)
    assert (package.id, package.card.title, package.card.license) == ("mine", "Mine", "CC-BY-4.0")
    assert package.card.origin.file == "My Weights.pth"
    assert str(tmp_path) not in package.read_card_text()


def test_the_command_imports_and_tells_the_difference(weights, tmp_path, monkeypatch):
    out = tmp_path / "chexnet"
    command = ["models", "import", str(weights), "--as", "densenet121", "--size", "64", "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "largest difference" in result.output
    assert "in the detector's answers for a phantom" in " ".join(result.output.split())
    assert (out / "models/model.safetensors").is_file()
    with pytest.raises(ModelError, match="There is no architecture 'resnet'; choose pe-source"):
        CliRunner().invoke(app, [*command[:4], "resnet", "--out", str(tmp_path / "y")], catch_exceptions=False)
    assert "densenet121" in architectures()
