"""Providers in the model list, and the two questions before the first run with one."""

from types import SimpleNamespace

import pytest
import qt

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.providers import install
from AcuteFindingsLib.providers.consent import has_consent
from AcuteFindingsLib.providers.registry import find_terms
from AcuteFindingsLib.providers.terms import Terms
from AcuteFindingsLib.widgets.models.cards import card_text
from AcuteFindingsLib.widgets.models.loader import ModelLoader
from AcuteFindingsLib.widgets.models.provider_consent import chosen_provider, ensure_provider
from AcuteFindingsLib.widgets.models.provider_rows import provider_of, provider_rows
from AcuteFindingsLib.widgets.models.table import NAME, STATE, WHERE


@pytest.fixture
def asked(monkeypatch, host):
    """Answer questions with `answers`, one after another, and remember what was asked, told and installed."""
    import slicer.packaging

    heard = SimpleNamespace(questions=[], told=[], installed=[], answers=[], there=False)

    def confirm(text, **_keywords):
        heard.questions.append(text)
        return heard.answers.pop(0)

    def ensure(requirements, constraints=None, **_keywords):
        heard.installed.append(([str(item) for item in requirements], constraints.read_text()))
        heard.there = True

    monkeypatch.setattr("slicer.util.confirmOkCancelDisplay", confirm)
    monkeypatch.setattr("slicer.util.errorDisplay", lambda text, **_keywords: heard.told.append(text))
    monkeypatch.setattr(slicer.packaging, "pip_ensure", ensure)
    monkeypatch.setattr(Terms, "installed_version", lambda _self: "1.0" if heard.there else "")
    monkeypatch.setattr("AcuteFindingsLib.widgets.models.provider_consent.missing_packages", lambda _needed: [])
    return heard


def test_providers_stand_before_packages_that_never_saw_a_patient_and_can_be_chosen(host, tmp_path):
    loader = ModelLoader("pneumothorax", settings=qt.QSettings(str(tmp_path / "s.ini"), qt.QSettings.IniFormat))
    try:
        names = [loader.table.item(row, NAME).text() for row in range(loader.table.rowCount)]
        row = names.index("torchxrayvision")
        assert row < names.index("pneumothorax-unet-small")
        assert loader.table.item(row, WHERE).text() == "its own package"
        assert loader.default.place == "shipped"
        loader.choose("torchxrayvision")
        host.wait_until(lambda: loader.model == "torchxrayvision")
        assert "asks you before its first use" in loader.table.item(row, STATE).text()
        loader.details_button.setChecked(True)
        host.click_row(loader.table, row)
        assert "Apache-2.0" in loader.details.toPlainText()
        assert not loader.verify_button.enabled
        assert not loader.delete_button.enabled
    finally:
        loader.close()


def test_a_providers_card_is_its_terms():
    (row,) = provider_rows("pneumothorax")
    assert provider_of(row) == find_terms("torchxrayvision")
    assert "arxiv.org/abs/2111.00595" in card_text(row)
    assert [item.id for item in provider_rows("pe")] == ["totalsegmentator"]


def test_nothing_is_asked_where_the_model_is_no_provider(asked):
    assert ensure_provider("")
    assert ensure_provider("pe-sequence-small")
    assert chosen_provider("pe-sequence-small+totalsegmentator").id == "totalsegmentator"
    assert asked.questions == []


def test_the_terms_are_shown_and_no_means_no(asked):
    asked.answers = [False]
    assert not ensure_provider("blast-ct")
    assert "Apache-2.0" in asked.questions[0]
    assert "Lancet Digital Health" in asked.questions[0]
    assert not has_consent(find_terms("blast-ct"))


def test_consent_and_installation_are_asked_once(asked):
    asked.answers = [True, True]
    assert ensure_provider("blast-ct")
    assert has_consent(find_terms("blast-ct"))
    (requirements, constraints) = asked.installed[0]
    assert requirements == ["blast-ct<3,>=2.1"]
    assert "numpy==" in constraints
    assert ensure_provider("blast-ct")
    assert len(asked.questions) == 2


def test_who_agrees_but_does_not_install_does_not_run(asked):
    asked.answers = [True, False]
    assert not ensure_provider("blast-ct")
    assert asked.installed == []


def test_what_needs_an_environment_of_its_own_gets_one(asked, monkeypatch):
    made = []
    monkeypatch.setattr(install, "install", lambda provider, **_named: made.append(provider.id))
    asked.answers = [True, True]
    assert ensure_provider("totalsegmentator")
    assert made == ["totalsegmentator"]
    assert asked.installed == []


def test_a_failed_installation_is_told(asked, monkeypatch):
    def fail(_provider, **_named):
        raise ProviderError("no room")

    monkeypatch.setattr(install, "install", fail)
    asked.answers = [True, True]
    assert not ensure_provider("totalsegmentator")
    assert "no room" in asked.told[0]


def test_torch_comes_before_a_package_that_would_bring_another(asked, monkeypatch):
    order = []
    monkeypatch.setattr(
        "AcuteFindingsLib.widgets.models.provider_consent.ensure_torch",
        lambda what, _parent: order.append((what, list(asked.installed))) or True,
    )
    asked.answers = [True, True]
    assert ensure_provider("blast-ct")
    assert order == [("blast-ct", [])]
    assert asked.installed


@pytest.mark.parametrize("provider", ["blast-ct", "totalsegmentator"])
def test_where_there_is_no_torch_a_provider_is_not_offered(asked, monkeypatch, provider):
    from AcuteFindingsLib import packages

    monkeypatch.setattr(packages.sys, "platform", "darwin")
    monkeypatch.setattr(packages.platform, "machine", lambda: "x86_64")
    assert not ensure_provider(provider)
    assert asked.questions == []
    assert asked.told[0].startswith(f"{provider} needs PyTorch 2.6 or later, which does not exist for Slicer on a Mac")
