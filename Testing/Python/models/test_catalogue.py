import json

from AcuteFindingsLib.models.catalogue import list_models, show_model, verify_model


def test_list_show_and_verify_give_plain_data(package, build, tmp_path):
    (tmp_path / "broken" / "configs").mkdir(parents=True)
    rows = list_models(cache=tmp_path, shipped=tmp_path / "none")
    assert [(row["id"], row["task"], bool(row["error"])) for row in rows] == [
        ("tiny-test", "hemorrhage", False),
        ("broken", "", True),
    ]
    assert rows[0].keys() == rows[1].keys()
    shown = show_model(package)
    assert shown["card"]["operating_points"][0]["threshold"] == 0.5
    assert shown["weights_bytes"] == (package.folder / "models/model.safetensors").stat().st_size
    assert shown["text"].startswith("# Tiny")
    assert verify_model(package, build=build)["error"] == ""
    (package.folder / "LICENSE").unlink()
    assert "LICENSE is missing" in verify_model(package, build=build)["error"]
    json.dumps([rows, shown])
