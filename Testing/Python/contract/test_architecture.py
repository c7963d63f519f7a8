"""docs/architecture.md shows the layers that the import contract enforces."""

import importlib.util
import re

from extension_files import LIBRARY, ROOT

SPEC = importlib.util.spec_from_file_location("draw_layers", ROOT / "Tools" / "draw_layers.py")
draw_layers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw_layers)

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def layer_names() -> list[str]:
    return [name for layer in draw_layers.read_layers(ROOT / "pyproject.toml") for name in layer]


def test_the_committed_picture_is_what_the_script_draws_from_the_contract():
    drawn = draw_layers.draw(draw_layers.read_layers(ROOT / "pyproject.toml"))
    assert (ROOT / "docs" / "layers.svg").read_text() == drawn, "run: python Tools/draw_layers.py"


def test_a_changed_contract_changes_the_picture(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["AcuteFindingsLib.a | AcuteFindingsLib.b", "c"]\n'
    )
    layers = draw_layers.read_layers(tmp_path / "pyproject.toml")
    assert layers == [["a", "b"], ["c"]]
    assert re.findall(r">(\w)</text>", draw_layers.draw(layers)) == ["a", "b", "c"]


def test_every_layer_exists_and_has_a_line_in_the_page():
    names = layer_names()
    assert [name for name in names if not ((LIBRARY / name).is_dir() or (LIBRARY / f"{name}.py").is_file())] == []
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_part_of_the_library_has_a_place_in_the_contract():
    parts = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - set(layer_names()) - {"__init__"} == set()
