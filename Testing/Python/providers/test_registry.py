"""Every provider keeps the protocol, and other packages bring theirs."""

import logging
import subprocess
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from AcuteFindingsLib.detectors.registry import find_task
from AcuteFindingsLib.providers import registry
from AcuteFindingsLib.providers.load import load_any_detector
from AcuteFindingsLib.providers.provider import Provider
from AcuteFindingsLib.providers.terms import read_terms


@pytest.fixture
def brought(monkeypatch, tmp_path):
    """Register a provider as another package would: `brought("module:name", id="other")` returns it."""
    points = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])
    known = registry.find_terms("blast-ct")

    def bring(reference: str, *, id: str) -> Provider:
        file = tmp_path / f"{id}.json"
        file.write_text(known.file.read_text(encoding="utf-8").replace('"id": "blast-ct"', f'"id": "{id}"'))

        class Other(Provider):
            terms = read_terms(file)

            def load_detector(self, kind, how, *, base):
                return kind.id, how.device, base

            def package_of(self, task, *, version, sha256):
                raise AssertionError("not asked for")

        module, _, name = reference.partition(":")
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: Other()}))
        points.append(EntryPoint(id, reference, registry.GROUP))
        registry.packaged_providers.cache_clear()
        return sys.modules[module].PROVIDER

    registry.packaged_providers.cache_clear()
    yield bring
    registry.packaged_providers.cache_clear()


@pytest.mark.parametrize("provider", registry.packaged_providers(), ids=lambda provider: provider.terms.id)
def test_every_provider_serves_the_tasks_of_its_terms(provider):
    terms = provider.terms
    assert terms.file.parent.name == terms.id.replace("-", "_")
    assert set(provider.beside) <= set(terms.tasks)
    for task in terms.tasks:
        find_task(task)
        package = provider.package_of(task, version="9.9", sha256="ab" * 32)
        assert (package.id, package.version, package.sha256) == (terms.id, "9.9", "ab" * 32)
        assert package.card.license == terms.license
        scorer = provider.image_scorer(task)
        assert scorer is None or callable(scorer)


def test_providers_are_listed_before_any_heavy_package_is_there():
    program = (
        "import sys; from AcuteFindingsLib.providers.registry import list_terms; assert len(list_terms()) == 3;"
        "heavy = {'torch', 'numpy', 'pydantic', 'SimpleITK', 'torchxrayvision'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_provider_of_another_package_is_listed_and_asked(brought, home):
    other = brought("elsewhere:PROVIDER", id="other")
    assert [terms.id for terms in registry.list_terms()][-1] == "other"
    from AcuteFindingsLib.providers.consent import give_consent

    give_consent(other.terms)
    assert load_any_detector("hemorrhage", model="other", device="cpu") == ("hemorrhage", "cpu", None)


@pytest.mark.parametrize(("reference", "told"), [("elsewhere:PROVIDER", "in use"), ("elsewhere:NOTHING", "left out")])
def test_what_another_package_brings_wrongly_is_left_out_and_named(brought, caplog, reference, told, monkeypatch):
    brought("elsewhere:PROVIDER", id="blast-ct" if told == "in use" else "other")
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("x", reference, group)])
    registry.packaged_providers.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [provider.terms.id for provider in registry.list_providers()] == [
            "blast-ct",
            "torchxrayvision",
            "totalsegmentator",
        ]
    assert told in caplog.text
    assert reference in caplog.text
