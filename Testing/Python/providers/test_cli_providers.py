import pytest
from typer.testing import CliRunner

from AcuteFindingsLib.cli import providers as commands
from AcuteFindingsLib.errors import ProviderError, TorchMissingError
from AcuteFindingsLib.providers import install
from AcuteFindingsLib.providers.consent import has_consent


def run(*arguments: str, answer: str = ""):
    return CliRunner().invoke(commands.providers_app, list(arguments), input=answer, catch_exceptions=False)


@pytest.fixture(autouse=True)
def wide(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_says_what_is_agreed_to(capsys, all_agreed) -> None:
    assert run("list").exit_code == 0


def test_show_prints_license_and_citation(monkeypatch) -> None:
    printed = []
    monkeypatch.setattr(commands.out_console, "print", lambda *items, **_named: printed.extend(map(str, items)))
    run("show", "totalsegmentator")
    assert "Apache-2.0" in " ".join(printed)
    assert "ryai.230024" in " ".join(printed)


def test_consent_is_asked_for_and_no_means_no(providers) -> None:
    assert run("consent", "blast-ct", answer="n\n").exit_code == 0
    assert not has_consent(providers["blast-ct"])
    run("consent", "blast-ct", answer="y\n")
    assert has_consent(providers["blast-ct"])
    run("consent", "blast-ct", "--withdraw")
    assert not has_consent(providers["blast-ct"])


def test_accept_license_asks_nothing_but_shows_the_terms(providers, monkeypatch) -> None:
    printed = []
    monkeypatch.setattr(commands.out_console, "print", lambda *items, **_named: printed.extend(map(str, items)))
    run("consent", "torchxrayvision", "--accept-license")
    assert has_consent(providers["torchxrayvision"])
    assert " ".join(providers["torchxrayvision"].text.split()) in " ".join(" ".join(printed).split())


def test_nothing_is_installed_without_consent(monkeypatch, providers) -> None:
    monkeypatch.setattr(install, "install", lambda *_a, **_n: pytest.fail("installed"))
    run("install", "blast-ct", answer="n\n")
    called = []
    monkeypatch.setattr(install, "install", lambda provider, **_named: called.append(provider.id))
    run("install", "blast-ct", "--accept-license")
    assert called == ["blast-ct"]


def test_where_there_is_no_torch_it_is_asked_for_before_a_package_that_brings_one(monkeypatch, providers) -> None:
    monkeypatch.setattr(install, "install", lambda *_a, **_n: pytest.fail("installed"))
    monkeypatch.setattr(commands, "find_spec", lambda _name: None)
    with pytest.raises(TorchMissingError, match=r"torchxrayvision needs PyTorch.*acutefindings\[torch\]"):
        run("install", "torchxrayvision", "--accept-license")
    printed = []
    monkeypatch.setattr(commands.out_console, "print", lambda *items, **_named: printed.extend(map(str, items)))
    run("show", "torchxrayvision")
    assert "pip install 'acutefindings[torch]'" in " ".join(printed)


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(ProviderError, match="no provider"):
        run("show", "nothing")
