"""Nothing outside a detector's folder names the detector: what is to be known of it stands in its kind.

Its module in Slicer, its tests, recipes and model packages may name it. Of the library only the registry does, which
says where the kinds of this library are. A provider gives certain detectors another model: it may import from their
folders, and names them by nothing else.
"""

import re

import pytest
from extension_files import LIBRARY

from AcuteFindingsLib.detectors.registry import BUILT_IN
from AcuteFindingsLib.models.task import load_reference

KINDS = [load_reference(reference) for reference in BUILT_IN]
REGISTRY = "detectors/registry.py"


def naming(text: str, *, provider: bool = False) -> list[str]:
    """Return the lines in which a detector is named: its id as a text of its own, its folder, its module in Slicer.

    A `provider` may import from a detector's folder.
    """
    ids = "|".join(kind.id for kind in KINDS)
    modules = "|".join(kind.module for kind in KINDS)
    named = re.compile(rf"""["'`](?:{ids})["'`]|\bdetectors[./](?:{ids})\b|\b(?:{modules})\b""")
    imports = re.compile(rf"from AcuteFindingsLib\.detectors\.(?:{ids})\.")
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if named.search(line) and not (provider and imports.match(line.strip()))
    ]


def files_of_no_detector():
    for path in sorted(LIBRARY.rglob("*.py")) + sorted(LIBRARY.rglob("*.jinja")):
        place = path.relative_to(LIBRARY)
        if place.parts[:2] not in [("detectors", kind.id) for kind in KINDS]:
            yield place.as_posix(), path


def test_no_file_outside_a_detectors_folder_names_it():
    found = {
        place: naming(path.read_text(encoding="utf-8"), provider=re.match(r"providers/\w+/", place) is not None)
        for place, path in files_of_no_detector()
    }
    # A provider gives a detector another model, so its folder may build on the detector's; it names none otherwise.
    found |= {
        place: [line for line in lines if not re.search(r"\bfrom AcuteFindingsLib\.detectors\.\w+", line)]
        for place, lines in found.items()
        if re.match(r"providers/\w+/", place)
    }
    wrong = {place: lines for place, lines in found.items() if lines and place != REGISTRY}
    assert wrong == {}


def test_the_registry_names_the_kinds_and_nothing_else():
    lines = naming((LIBRARY / REGISTRY).read_text(encoding="utf-8"))
    assert [line.partition(": ")[2].strip('",') for line in lines] == list(BUILT_IN)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_a_planted_name_is_found(kind):
    for line in (
        f'if name == "{kind.id}":',
        f"choose({{'{kind.id}': 1}})",
        f"from AcuteFindingsLib.detectors.{kind.id}.detector import LABEL",
        f"slicer.modules.{kind.module}",
        f"``{kind.id}`` or another one",
    ):
        assert naming(f"x = 1\n{line}\n") == [f"2: {line}"]
    assert naming(f"the {kind.id} of a sentence, {kind.finding}\n") == []


def test_a_provider_imports_from_a_detectors_folder_and_names_it_by_nothing_else():
    text = "from AcuteFindingsLib.detectors.pe.kind import KIND\nif name == 'pe':\n"
    assert naming(text, provider=True) == ["2: if name == 'pe':"]
    assert len(naming(text)) == 2
