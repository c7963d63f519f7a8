"""From a repository of the hub to a package that a detector runs."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest

from AcuteFindingsLib.errors import CancelledError, ConsentError, DownloadError, ModelError
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.public import proof
from AcuteFindingsLib.models.public.consent import licenses_file
from AcuteFindingsLib.models.public.import_public import import_public
from AcuteFindingsLib.models.runtime.graph_predictor import load_graph_predictor

WEIGHTS = "someone/tiny-lungs/model.safetensors"
NOT_COMMERCIAL = {"name": "CC-BY-NC-4.0", "commercial": False, "text": "Not for commercial use."}


def asked_for_bytes(server):
    return [line for line in server.asked if line.startswith("GET /storage")]


def change_card(server, text):
    (server.folder / "someone" / "tiny-lungs" / "README.md").write_text(text, encoding="utf-8")


def test_a_repository_becomes_a_package_that_answers_as_its_network(hub, describe, tmp_path):
    package = import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=hub)
    card = package.card
    assert (card.id, card.license, card.published[0].value) == ("tiny-lungs", "MIT", 0.9)
    assert len(card.origin.revision) == 40
    assert card.origin.files.keys() == {"model.safetensors"}
    assert card.origin.largest_difference <= 1e-4
    assert card.graphs.compared_on == "noise in the range of the network's input"
    assert (package.folder / "LICENSE").read_text() == "Permission is hereby granted.\n"
    assert card.origin.revision in package.read_card_text()
    batch = np.random.default_rng(5).normal(size=(3, 1, 32, 32)).astype(np.float32)
    ours = load_graph_predictor(package, device="cpu").predict(batch)
    theirs = load_predictor(package, device="cpu", runtime="torch").predict(batch)
    assert np.abs(ours["mask"] - theirs["mask"]).max() < 1e-4


def test_the_second_import_downloads_nothing(hub, server, describe, tmp_path):
    file = describe()
    first = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "first", hub=hub)
    server.asked.clear()
    second = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "second", hub=hub)
    assert asked_for_bytes(server) == []
    assert second.sha256 == first.sha256


@pytest.mark.parametrize("offline", [True, False], ids=["offline mode", "no answer"])
def test_without_the_hub_its_cache_does(hub, server, describe, tmp_path, offline):
    file = describe()
    first = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "first", hub=hub)
    away = type(hub)(cache=hub.cache, endpoint="http://127.0.0.1:1", offline=offline, patience=hub.patience)
    server.asked.clear()
    second = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "second", hub=away)
    assert server.asked == []
    assert second.card.origin.revision == first.card.origin.revision
    assert "the hub was not asked" in second.card.origin.remark


def test_without_hub_and_cache_it_says_what_to_do(hub, describe, tmp_path):
    away = type(hub)(cache=tmp_path / "empty", offline=True)
    with pytest.raises(DownloadError, match=r"offline mode is set.*hf download"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=away)


def test_a_wrong_byte_is_caught_and_nothing_of_it_is_kept(hub, server, describe, tmp_path):
    server.wrong_byte.add(WEIGHTS)
    file = describe()
    with pytest.raises(DownloadError, match=r"checksum is not the one that it states"):
        import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "lungs", hub=hub)
    assert not (tmp_path / "lungs").exists()
    assert [path for path in hub.cache.rglob("*") if path.is_file() and path.stat().st_size > 200] == []
    server.wrong_byte.clear()
    assert import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "lungs", hub=hub)


def test_a_changed_file_of_the_cache_is_fetched_again_and_refused_offline(hub, server, describe, tmp_path):
    file = describe()
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "first", hub=hub)
    blob = next(path for path in (hub.cache / "models--someone--tiny-lungs" / "blobs").iterdir())
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    away = type(hub)(cache=hub.cache, offline=True)
    with pytest.raises(DownloadError, match=r"was changed"):
        import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "second", hub=away)
    server.asked.clear()
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "third", hub=hub)
    assert len(asked_for_bytes(server)) == 1


def test_a_download_that_broke_off_goes_on_where_it_ended(hub, server, describe, tmp_path):
    server.break_after = 5000
    file = describe()
    with pytest.raises(DownloadError, match=r"is kept|broke off"):
        import_public(
            "hf:someone/tiny-lungs",
            description=file,
            out=tmp_path / "lungs",
            hub=type(hub)(endpoint=hub.endpoint, cache=hub.cache, patience=type(hub.patience)(2, 2, 0, 0)),
        )
    (partial,) = hub.cache.rglob("*.incomplete")
    have = partial.stat().st_size
    assert 0 < have <= 5000
    server.break_after = None
    server.asked.clear()
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "lungs", hub=hub)
    assert [line.rpartition(" ")[2] for line in asked_for_bytes(server)] == [f"{have}-"]


def test_a_stopped_download_keeps_what_has_come(hub, describe, tmp_path):
    heard = []

    def cancelled():
        return any(text.startswith("Downloading") for text, _ in heard)

    with pytest.raises(CancelledError):
        import_public(
            "hf:someone/tiny-lungs",
            description=describe(),
            out=tmp_path / "lungs",
            hub=hub,
            progress=lambda *said: heard.append(said),
            cancelled=cancelled,
        )
    assert list(hub.cache.rglob("*.incomplete"))
    assert not (tmp_path / "lungs").exists()


def test_a_license_that_is_not_commercial_is_asked_for_once(hub, server, describe, tmp_path):
    file = describe(license=NOT_COMMERCIAL)
    change_card(server, "---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(ConsentError, match=r"CC-BY-NC-4.0.*does not allow commercial use"):
        import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "a", hub=hub)
    assert server.asked == []
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "a", hub=hub, agreed=True)
    assert json.loads(licenses_file().read_text())["tiny-lungs"]["date"]
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "b", hub=hub)
    changed = describe(license=NOT_COMMERCIAL | {"text": "Other words."})
    with pytest.raises(ConsentError):
        import_public("hf:someone/tiny-lungs", description=changed, out=tmp_path / "c", hub=hub)


def test_another_license_on_the_hub_than_the_description_names_is_asked_for(hub, server, describe, tmp_path):
    change_card(server, "---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(ConsentError, match=r"states the license cc-by-nc-4.0"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub)
    assert asked_for_bytes(server) == []
    import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub, agreed=True)


def test_both_licenses_where_they_differ_are_agreed_to_once(hub, server, describe, tmp_path):
    change_card(server, "---\nlicense: gpl-3.0\n---\n")
    file = describe(license=NOT_COMMERCIAL)
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "a", hub=hub, agreed=True)
    import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "b", hub=hub)


def test_a_full_disk_is_told_before_the_download(hub, server, describe, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match=r"has 0 MB left .*make room"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub)
    assert asked_for_bytes(server) == []


def test_without_torch_the_card_says_that_these_weights_were_not_compared(hub, describe, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "find_spec", lambda name: None if name == "torch" else importlib.util.find_spec(name))
    package = import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=hub)
    assert package.card.origin.largest_difference is None
    assert "Compared on random weights, not on these" in package.read_card_text()


def test_weights_of_another_network_are_refused_with_the_tensors_at_fault(hub, server, describe, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = server.folder / WEIGHTS
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("weight") and not name.startswith("auxiliary"))
    tensors["further.weight"] = tensors[name]
    tensors[name] = tensors[name][:1]
    save_file(tensors, weights)
    with pytest.raises(ModelError, match=rf"{name} is \(.*expected .*further.weight is not needed here"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=hub)
    assert not (tmp_path / "lungs").exists()


def test_renamed_and_prefixed_tensors_find_their_places(hub, server, describe, tmp_path, graphs):
    from safetensors.numpy import load_file, save_file

    weights = server.folder / WEIGHTS
    tensors = {f"module.{name}": value for name, value in load_file(weights).items()}
    save_file(tensors, weights)
    files = {
        "model": {
            "path": ["absent.safetensors", "model.safetensors"],
            "prefix": "",
            "renames": [{"pattern": r"module\.(.+)", "to": r"\1"}],
            "unused": [r"module\.auxiliary\..*"],
        }
    }
    package = import_public("hf:someone/tiny-lungs", description=describe(files=files), out=tmp_path / "lungs", hub=hub)
    assert package.card.origin.files.keys() == {"model.safetensors"}


@pytest.mark.parametrize(
    "lies",
    [
        {"lfs": {"sha256": "../../../escaped", "size": 9, "pointerSize": 1}},
        {"lfs": {"sha256": "", "size": 9, "pointerSize": 1}},
        {"size": "9"},
        {"size": None},
        {"lfs": 7},
    ],
)
def test_a_server_that_states_no_checksum_or_size_is_not_taken_for_the_hub(hub, server, describe, tmp_path, lies):
    server.lies = lies
    with pytest.raises(DownloadError, match=r"as the hub does"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub)
    assert not list(tmp_path.rglob("escaped*"))


def test_a_file_of_another_size_than_stated_is_refused(hub, server, describe, tmp_path):
    server.lies = {"size": 9}
    with pytest.raises(DownloadError, match=r"its size is not 9 bytes.*the hub is out of date"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub)


def test_a_login_page_before_the_hub_is_told(hub, server, describe, tmp_path):
    server.page = "<html>Please log in</html>"
    with pytest.raises(DownloadError, match=r"a login page of your network"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "a", hub=hub)


def test_a_tensor_of_two_names_is_taken_once_and_two_that_differ_are_refused(hub, server, describe, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = server.folder / WEIGHTS
    tensors = load_file(weights)
    copies = {f"again.{name}": value for name, value in tensors.items()}
    save_file(tensors | copies, weights)
    renames = [{"pattern": r"again\.(.+)", "to": r"\1"}]
    files = {"model": {"path": ["model.safetensors"], "prefix": "", "renames": renames, "unused": [r".*auxiliary\..*"]}}
    file = describe(files=files)
    assert import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "a", hub=hub)
    name = next(name for name in tensors if name.startswith("unet") and tensors[name].ndim == 4)
    save_file(tensors | copies | {f"again.{name}": tensors[name] + 1}, weights)
    with pytest.raises(ModelError, match=f"Two tensors .*{name}"):
        import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "b", hub=hub)


def test_files_of_pickles_are_read_without_torch_and_the_hubs_conversion_comes_first(hub, server, describe, tmp_path):
    import torch
    from safetensors.numpy import load_file

    repository = server.folder / "someone" / "tiny-lungs"
    tensors = load_file(repository / "model.safetensors")
    (repository / "model.safetensors").unlink()
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, repository / "pytorch_model.bin")
    paths = {"model": {"path": ["model.safetensors", "pytorch_model.bin"], "prefix": "", "unused": ["auxiliary.*"]}}
    file = describe(files=paths)
    package = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "a", hub=hub)
    assert package.card.origin.files.keys() == {"pytorch_model.bin"}
    from safetensors.numpy import save_file

    converted = server.folder / "someone" / "tiny-lungs.pr1"
    converted.mkdir()
    save_file(tensors, converted / "model.safetensors")
    again = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "b", hub=hub)
    assert again.card.origin.files.keys() == {"model.safetensors"}
    assert again.sha256 == package.sha256


def test_what_cannot_be_imported_today_says_why(hub, describe, tmp_path):
    file = describe(needs="its preprocessing is published nowhere")
    with pytest.raises(ModelError, match=r"cannot be imported today: its preprocessing is published nowhere"):
        import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "lungs", hub=hub)


@pytest.mark.parametrize(
    ("address", "told"),
    [("hf:someone/nothing", "There is no import description"), ("hf:someone/other", "describes hf:someone/tiny-lungs")],
)
def test_an_address_that_nothing_describes_is_refused(hub, describe, tmp_path, address, told):
    with pytest.raises(ModelError, match=told):
        import_public(
            address, description=describe() if address.endswith("other") else None, out=tmp_path / "lungs", hub=hub
        )


def test_a_token_is_shown_to_the_hub_and_not_to_its_storage(hub, server, describe, tmp_path, monkeypatch):
    server.token = "hf_secret"
    with pytest.raises(DownloadError, match=r"accept them at .*someone/tiny-lungs.*hf auth login"):
        import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=hub)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    import_public("hf:someone/tiny-lungs", description=describe(), out=tmp_path / "lungs", hub=hub)
    assert server.logins == {"/storage": {""}, "/someone": {"Bearer hf_secret"}, "/api": {"", "Bearer hf_secret"}}


@pytest.mark.slow
def test_a_description_without_a_graph_goes_through_its_importer_and_says_what_it_says(
    hub, server, describe, tmp_path, monkeypatch
):
    import timm
    from safetensors.torch import save_file

    # Graphs of the package take seconds, and are not what is shown here.
    monkeypatch.setattr("AcuteFindingsLib.models.write._with_graphs", lambda metadata, *_args, **_kwargs: metadata)

    network = timm.create_model("test_resnet", num_classes=2, in_chans=1)
    repository = server.folder / "someone" / "tiny-lungs"
    save_file(network.state_dict(), repository / "model.safetensors")
    options = {"network": "test_resnet", "size": 64, "mean": [0.5], "std": [0.25], "head": "sigmoid"}
    options["labels"] = ["Pneumothorax", "Effusion"]
    file = describe(
        id="tiny-chest",
        task="chest",
        importer="timm",
        torch=True,
        options=options,
        network=None,
        graphs=None,
        image=None,
        labels=[],
        operating_points=[],
        preprocessing={},
    )
    card = import_public("hf:someone/tiny-lungs", description=file, out=tmp_path / "chest", hub=hub).card
    assert (card.id, card.license, card.published[0].value) == ("tiny-chest", "MIT", 0.9)
    assert card.origin.file == "hf:someone/tiny-lungs"
    assert len(card.origin.revision) == 40
    assert card.origin.largest_difference <= 1e-4
