"""The command that fits what ships in Resources/Likeness, and what ships there."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from AcuteFindingsLib.detectors.registry import detector_ids, find_kind
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.chest_xray.generate import make_chest_xray
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.trust.likeness import image_set, likeness_of, sets_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_command_writes_a_file_by_which_other_phantoms_are_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fit.py", "pneumothorax", "--count", "30", "--out", str(tmp_path)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    tool = runpy.run_path(str(ROOT / "Tools" / "likeness" / "fit.py"))
    monkeypatch.setitem(tool["main"].__globals__, "VERSIONS", {"pneumothorax": 1})
    tool["main"]()
    assert "30 images" in capsys.readouterr().out
    data = json.loads((tmp_path / "pneumothorax.json").read_text())
    (phantoms,) = (image_set(entry) for entry in data["sets"])
    assert list(data["models"].values()) == [["phantoms"]]
    measure = tool["radiograph_features"]
    assert phantoms.distance(measure(phantom_study(make_chest_xray(4000, size=256)))) < 1
    assert phantoms.distance(measure(tool["radiograph"](1 - make_chest_xray(4000, size=256).array[0]))) > 1


@pytest.mark.parametrize("kind", detector_ids())
def test_every_kind_knows_the_images_of_the_model_that_ships(kind: str):
    data = json.loads(resource_path("Likeness", f"{kind}.json").read_text())
    shipped = {read_package(path).sha256 for path in resource_path("Models").iterdir() if path.is_dir()}
    assert data["models"]
    assert set(data["models"]) <= shipped
    for entry in data["sets"]:
        one = image_set(entry)
        assert one.count >= 30
        assert one.distance(dict(zip(one.features, one.mean, strict=True))) == 0
        assert one.name.startswith("phantom") or one.license


def test_a_radiograph_phantom_is_like_and_its_negative_is_unlike_the_images_of_the_model_that_ships():
    kind, package = find_kind("pneumothorax"), read_package(resource_path("Models", "pneumothorax-unet-small"))
    study = phantom_study(make_chest_xray(4001, size=200))
    assert [one.name for one in sets_of(kind, package)] == ["phantoms", "radiographs"]
    assert likeness_of(study, kind=kind, package=package).label == "like"
    study.array[:] = 1 - study.array
    assert likeness_of(study, kind=kind, package=package).label == "unlike"
