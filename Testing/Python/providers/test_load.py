import sys
from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.finding import ModelIdentity
from AcuteFindingsLib.errors import ConsentError, ProviderError
from AcuteFindingsLib.places import environments_folder, models_cache
from AcuteFindingsLib.providers import install
from AcuteFindingsLib.providers.load import (
    load_any_detector,
    load_any_image_scorer,
    package_of_finding,
    split_model,
)


def test_a_model_is_a_package_a_provider_or_both() -> None:
    assert split_model(None) == (None, None)
    assert split_model("pe-sequence-small") == ("pe-sequence-small", None)
    assert split_model("folder/a+b") == ("folder/a+b", None)
    base, provider = split_model("pe-sequence-small+totalsegmentator")
    assert (base, provider.terms.id) == ("pe-sequence-small", "totalsegmentator")
    base, provider = split_model("blast-ct")
    assert (base, provider.terms.id) == (None, "blast-ct")


@pytest.mark.parametrize(
    ("detector", "model"),
    [("pneumothorax", "torchxrayvision"), ("hemorrhage", "blast-ct"), ("pe", "totalsegmentator")],
)
def test_without_consent_nothing_is_loaded_and_the_error_says_how_to_agree(detector, model) -> None:
    with pytest.raises(ConsentError, match=f"acutefindings providers consent {model}"):
        load_any_detector(detector, model=model)


def test_without_consent_no_single_image_is_scored() -> None:
    with pytest.raises(ConsentError):
        load_any_image_scorer("chest", model="torchxrayvision")


def test_a_missing_package_is_named_with_what_to_install(all_agreed, monkeypatch) -> None:
    monkeypatch.setattr("AcuteFindingsLib.providers.terms.Terms.installed_version", lambda _self: "")
    with pytest.raises(ProviderError, match=r"acutefindings providers install blast-ct.*pip install 'blast-ct"):
        load_any_detector("hemorrhage", model="blast-ct")
    with pytest.raises(ProviderError, match="acutefindings providers install totalsegmentator"):
        load_any_detector("pe", model="totalsegmentator")
    with pytest.raises(ProviderError, match="pip install 'torchxrayvision"):
        load_any_detector("pneumothorax", model="torchxrayvision")


def test_a_provider_is_refused_for_what_it_cannot_do() -> None:
    with pytest.raises(ProviderError, match="no model for pe"):
        load_any_detector("pe", model="torchxrayvision")
    with pytest.raises(ProviderError, match="name it alone"):
        load_any_detector("hemorrhage", model="hemorrhage-radnet-small+blast-ct")
    with pytest.raises(ProviderError, match="whole CT series"):
        load_any_image_scorer("hemorrhage", model="totalsegmentator")


def test_other_models_are_loaded_as_before() -> None:
    loaded = load_any_detector("hemorrhage", device="cpu")
    assert loaded.package.card.task == "hemorrhage"


@pytest.mark.parametrize(("detector", "name"), [("pneumothorax", "torchxrayvision"), ("hemorrhage", "blast-ct")])
def test_the_card_of_a_finding_is_made_again_from_its_identity(detector, name) -> None:
    identity = ModelIdentity(name, "9.9", "ab" * 32, "")
    package = package_of_finding(detector, identity)
    assert (package.id, package.version, package.sha256) == (name, "9.9", "ab" * 32)
    assert package.card.license
    assert package_of_finding(detector, ModelIdentity("pe-sequence-small", "1", "", "")) is None


def test_an_own_environment_wins_over_this_one(providers, tmp_path) -> None:
    provider = providers["totalsegmentator"]
    assert not install.is_installed(provider, folder=tmp_path) or provider.installed_version()
    python = install._python_in(tmp_path / "totalsegmentator")
    python.parent.mkdir(parents=True)
    python.touch()
    assert not install._own_python(provider, tmp_path).is_file()
    (tmp_path / "totalsegmentator" / "installed.txt").touch()
    assert install.python_of(provider, folder=tmp_path) == python


def test_what_lies_among_model_packages_is_never_run(providers, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("AcuteFindingsLib.providers.terms.Terms.installed_version", lambda _self: "")
    provider = providers["totalsegmentator"]
    place = models_cache() / "providers" / provider.id
    python = install._python_in(place)
    python.parent.mkdir(parents=True)
    python.touch()
    (place / "installed.txt").touch()
    assert not install.is_installed(provider)
    with pytest.raises(ProviderError, match=r"earlier version .* to make it again"):
        install.python_of(provider)
    assert models_cache() not in environments_folder().parents


def test_what_is_installed_here_is_run_with_this_python(providers) -> None:
    pytest.importorskip("torchxrayvision", reason="TorchXRayVision is not installed (extra [test])")
    assert install.python_of(providers["torchxrayvision"]) == Path(sys.executable)


def test_pip_is_told_to_replace_nothing_that_is_in_use(providers, monkeypatch) -> None:
    commands, written = [], []

    def ran(command, **_named):
        commands.append(command)
        if "--constraint" in command:
            written.append(Path(command[command.index("--constraint") + 1]).read_text())
        return install_ended

    from AcuteFindingsLib.providers.own_process import Ended

    install_ended = Ended(1, "ERROR: no matching distribution\n")
    monkeypatch.setattr(install, "run_to_end", ran)
    monkeypatch.setattr("AcuteFindingsLib.providers.terms.Terms.installed_version", lambda _self: "")
    with pytest.raises(ProviderError, match="no matching distribution"):
        install.install(providers["blast-ct"])
    assert commands[0][-1] == "blast-ct>=2.1,<3"
    assert "torch==" in written[0]
    assert "numpy==" in written[0]
