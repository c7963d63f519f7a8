"""The extension's description file is one that the Slicer Extensions Index takes."""

import json
import shutil
import struct

import pytest
from description_rules import description_mistakes
from extension_files import MODULES, ROOT

DESCRIPTION = ROOT / "AcuteFindings.json"


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_the_index_would_take_it():
    assert description_mistakes(DESCRIPTION, ROOT) == []


@pytest.mark.parametrize("path", [ROOT / "AcuteFindings.png", *(
    ROOT / name / "Resources" / "Icons" / f"{name}.png" for name in MODULES)], ids=lambda path: path.name)  # fmt: skip
def test_icons_are_128_pixels_wide_and_high_and_have_their_source_beside_them(path):
    assert png_size(path) == (128, 128)
    assert path.with_suffix(".svg").is_file()


@pytest.fixture
def copied(tmp_path):
    for name in ("AcuteFindings.json", "CMakeLists.txt", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category": None}, "category"),
        ({"category": "Acute findings"}, "not one of the index's"),
        ({"scm_url": "ssh://git@host/SlicerX.git"}, "neither git:// nor https://"),
        ({"scm_url": "https://github.com/x/AcuteFindings.git"}, "should start with Slicer"),
        ({"tier": 6}, "tier"),
        ({"tier": "3"}, "tier: not int"),
        ({"contributors": "x"}, "contributors: not allowed"),
        ({"build_dependencies": "PyTorch"}, "not list"),
        ({"build_dependencies": []}, "differ"),
        ({"$schema": "https://example.org/v1.0.0.json"}, "not version 1.0.2"),
    ],
)
def test_a_planted_mistake_is_found(copied, change, said):
    path = copied / "AcuteFindings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert any(said in mistake for mistake in description_mistakes(path, copied))


def test_another_project_name_or_a_missing_license_is_found(copied):
    (copied / "LICENSE").unlink()
    cmake = copied / "CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("project(AcuteFindings)", "project(Acute)"))
    mistakes = description_mistakes(copied / "AcuteFindings.json", copied)
    assert mistakes == ["no license file", "CMakeLists.txt: the project is not called AcuteFindings"]
