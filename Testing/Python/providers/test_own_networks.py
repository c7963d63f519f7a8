"""Networks that a user adds: listed, agreed to, chosen and removed like every provider."""

import json
import logging
import sys

import pytest
from typer.testing import CliRunner

from AcuteFindingsLib.cli import app
from AcuteFindingsLib.cli import own_networks as commands
from AcuteFindingsLib.errors import ConsentError, ProviderError
from AcuteFindingsLib.providers import install
from AcuteFindingsLib.providers.consent import give_consent, has_consent
from AcuteFindingsLib.providers.load import load_any_detector, split_model
from AcuteFindingsLib.providers.own_networks.add import add_own_network
from AcuteFindingsLib.providers.own_networks.provider import list_own_networks, networks_folder, remove_own_network
from AcuteFindingsLib.providers.own_networks.record import Record, write_record
from AcuteFindingsLib.providers.registry import find_provider, find_terms, list_terms

TERMS = {
    "id": "my-pe",
    "title": "Emboli",
    "tasks": ["pe"],
    "package": "nnunetv2",
    "requirement": "nnunetv2>=2.5,<3",
    "package_mb": 450,
    "weights_mb": 100,
    "own_environment": True,
    "license": "CC BY-NC 4.0",
    "citations": ["Isensee 2021"],
    "source": "not stated",
    "trained_on": "430 CT",
    "remarks": [],
    "environments": ["nnunet", "totalsegmentator"],
}


@pytest.fixture
def added(home, tmp_path):
    """A network that was added; its files are there and say nothing."""
    (tmp_path / "plans.json").write_text("{}")
    (tmp_path / "weights.pth").write_bytes(b"weights")
    from AcuteFindingsLib.providers.own_networks.record import checksums

    record = Record(
        form="nnunet",
        folder=tmp_path,
        files=checksums(tmp_path, ["plans.json", "weights.pth"]),
        weights=1,
        task="pe",
        network="nnU-Net, PlainConvUNet, 1 fold",
        drawn="embolus",
        program={"classes": [1]},
        rule={"minimum_mm3": 30.0, "minimum_peak": 0.6},
    )
    write_record(record, TERMS, networks_folder() / "my-pe")
    return record


def test_an_added_network_stands_in_the_lists_after_the_others(added) -> None:
    assert [terms.id for terms in list_terms("pe")] == ["totalsegmentator", "my-pe"]
    assert "my-pe" not in [terms.id for terms in list_terms("hemorrhage")]
    assert split_model("my-pe")[1].terms == find_terms("my-pe")


def test_its_license_has_to_be_agreed_to_once(added) -> None:
    with pytest.raises(ConsentError, match="CC BY-NC"):
        load_any_detector("pe", model="my-pe")
    give_consent(find_terms("my-pe"))
    with pytest.raises(ProviderError, match=r"nnunetv2 is not installed: run `acutefindings providers install my-pe`"):
        load_any_detector("pe", model="my-pe")


def test_its_card_says_what_was_said_and_the_rule_that_was_chosen(added) -> None:
    package = find_provider("my-pe").package_of("pe", version="2.8", sha256=added.sha256)
    card = package.card
    assert (card.license, card.training_data.summary, card.rule) == ("CC BY-NC 4.0", "430 CT", added.rule)
    assert card.labels[0].name == "pe"
    assert card.threshold("mask", "pe") == 0.5
    assert "embolus" in card.limitations
    assert (package.id, package.version, package.sha256) == ("my-pe", "2.8", added.files["weights.pth"])


def test_an_environment_that_has_its_package_is_used_whoever_made_it(added, tmp_path) -> None:
    for name in ("totalsegmentator", "nnunet"):
        place = tmp_path / name
        python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        python.parent.mkdir(parents=True)
        python.touch()
        (place / "installed.txt").touch()
        # Its own comes first, where there are both.
        assert install.python_of(find_terms("my-pe"), folder=tmp_path) == python


def test_a_package_counts_as_installed_with_all_that_is_used_of_it(added) -> None:
    from dataclasses import replace

    terms = replace(find_terms("my-pe"), package="pytest")
    assert terms.installed_version()
    assert not replace(terms, also=("no-such-distribution",)).installed_version()


def test_a_damaged_one_is_named_and_left_out(added, caplog) -> None:
    (networks_folder() / "my-pe" / "terms.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert list_own_networks() == ()
    assert "my-pe was left out" in caplog.text


def test_a_damaged_record_says_what_to_do(added) -> None:
    (networks_folder() / "my-pe" / "network.json").write_text("{}")
    with pytest.raises(ProviderError, match="add the network again"):
        find_provider("my-pe").package_of("pe", version="1", sha256="ab")


def test_one_cannot_take_the_name_of_another_provider(added, caplog) -> None:
    write_record(added, {**TERMS, "id": "blast-ct"}, networks_folder() / "blast-ct")
    assert find_terms("blast-ct").package == "blast-ct"


def test_removing_leaves_its_folder_and_forgets_the_consent(added) -> None:
    give_consent(find_terms("my-pe"))
    terms = find_terms("my-pe")
    assert CliRunner().invoke(app, ["providers", "remove", "my-pe"], catch_exceptions=False).exit_code == 0
    assert list_own_networks() == ()
    assert not has_consent(terms)
    assert (added.folder / "weights.pth").is_file()
    with pytest.raises(ProviderError, match="none was added"):
        remove_own_network("my-pe")


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {
        "network_def": {"_target_": "SegResNet", "out_channels": 1},
        "preprocessing": [{"_target_": "ScaleIntensityd", "keys": "image"}],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32]},
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "models" / "model.pt").write_bytes(b"weights")
    return folder


def add(folder, *more: str, answer: str = ""):
    arguments = ["providers", "add", str(folder), "--as", "monai-bundle-3d", "--task", "pe", "--id", "mine", *more]
    return CliRunner().invoke(app, arguments, input=answer)


def test_the_command_adds_a_network_with_what_was_said(home, bundle, monkeypatch) -> None:
    printed = []
    monkeypatch.setattr(commands.out_console, "print", lambda *items, **_named: printed.extend(map(str, items)))
    more = ("--license", "CC BY 4.0", "--trained-on", "10 CT", "--minimum-mm3", "50", "--accept-license")
    assert add(bundle, *more).exit_code == 0
    terms = find_terms("mine")
    assert (terms.license, terms.trained_on, has_consent(terms)) == ("CC BY 4.0", "10 CT", True)
    package = find_provider("mine").package_of("pe", version="1", sha256="ab" * 32)
    assert package.card.rule == {"minimum_mm3": 50.0, "minimum_peak": 0.5}
    assert "providers install mine" in " ".join(printed)


@pytest.mark.parametrize(("task", "least"), [("pe", 14.0), ("hemorrhage", 100.0)])
def test_a_network_starts_with_the_rule_of_its_task(home, bundle, task: str, least: float) -> None:
    add_own_network(bundle, form="monai-bundle-3d", name="mine", task=task)
    package = find_provider("mine").package_of(task, version="1", sha256="ab" * 32)
    assert package.card.rule == {"minimum_mm3": least, "minimum_peak": 0.5}


def test_the_terms_say_which_way_images_run_where_the_network_does_not_turn_them(home, bundle) -> None:
    assert add(bundle, "--orientation", "las", "--accept-license").exit_code == 0
    assert "to the left, rows to the front and slices to the head" in find_terms("mine").text
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config["preprocessing"].append({"_target_": "Orientationd", "axcodes": "RAS"})
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    remove_own_network("mine")
    assert add(bundle, "--accept-license").exit_code == 0
    assert "rows to the" not in find_terms("mine").text


def test_who_does_not_agree_adds_nothing(home, bundle) -> None:
    assert add(bundle, answer="n\n").exit_code == 0
    assert list_own_networks() == ()


def test_what_cannot_be_built_is_not_kept(home, bundle, monkeypatch) -> None:
    from AcuteFindingsLib.providers.own_networks import detector

    def fail(*_items, **_named):
        raise ProviderError("does not fit")

    monkeypatch.setattr(install, "is_installed", lambda _terms: True)
    monkeypatch.setattr(install, "python_of", lambda _terms: bundle)
    monkeypatch.setattr(detector, "check_own_network", fail)
    assert add(bundle, "--accept-license").exit_code != 0
    assert list_own_networks() == ()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--id", "blast-ct"), "is in use"),
        (("--id", "pe"), "that of a model or detector"),
        (("--id", "pe-sequence-small"), "that of a model or detector"),
        (("--id", "Mine"), "cannot be a model's id"),
        (("--task", "pneumothorax"), "pe and hemorrhage alone"),
        (("--as", "onnx"), "choose one of nnunet, monai-bundle-3d"),
        (("--roi", "96"), "three whole numbers"),
        (("--orientation", "SPL"), "such as LPS, LAS or RAS"),
    ],
)
def test_choices_that_cannot_be_are_told(home, bundle, more, told) -> None:
    result = add(bundle, *more, "--accept-license")
    assert isinstance(result.exception, ProviderError)
    assert told in str(result.exception)
    assert list_own_networks() == ()
