"""Every script and resource is named in CMakeLists.txt, and everything named there exists."""

from collections import Counter
from pathlib import PurePosixPath

import pytest
from cmake_reader import install_mistakes, listed
from extension_files import MODULES, ROOT

# Documents about the sources and drawings of icons are not part of the installed module.
NOT_INSTALLED = ("AcuteFindingsLib/Resources",)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_named_exists_and_what_exists_is_named(name):
    assert install_mistakes(ROOT / name / "CMakeLists.txt", but=NOT_INSTALLED) == []


def test_every_module_is_added_at_the_root():
    text = (ROOT / "CMakeLists.txt").read_text()
    assert [name for name in MODULES if f"add_subdirectory({name})" not in text] == []


def test_every_file_of_the_shipped_models_and_recipes_is_named():
    shared = ROOT / "Resources"
    found = {
        path.relative_to(shared).as_posix()
        for folder in ("Models", "Recipes")
        for path in (shared / folder).rglob("*")
        if path.is_file()
    }
    assert set(listed(ROOT / "AcuteFindings" / "CMakeLists.txt", "SHARED_FILES")) == found


def test_installed_into_one_folder_no_two_files_meet():
    # All modules of all extensions share that folder.
    named = Counter()
    for name in MODULES:
        cmake = ROOT / name / "CMakeLists.txt"
        named.update(listed(cmake, "MODULE_PYTHON_SCRIPTS") + listed(cmake, "MODULE_PYTHON_RESOURCES"))
    assert [entry for entry, times in named.items() if times > 1] == []
    tops = {PurePosixPath(entry).parts[0] for entry in named}
    assert tops == {"AcuteFindingsLib", "Resources", *(f"{name}.py" for name in MODULES)}


def test_planted_mistakes_are_found(tmp_path):
    (tmp_path / "A.py").write_text("")
    (tmp_path / "forgotten.py").write_text("")
    cmake = tmp_path / "CMakeLists.txt"
    cmake.write_text(
        "set(MODULE_NAME A)\nset(MODULE_PYTHON_SCRIPTS\n  ${MODULE_NAME}.py  # the module\n  gone.py\n  A.py\n  )\n"
        "set(MODULE_PYTHON_RESOURCES\n  ${CMAKE_CURRENT_SOURCE_DIR}/A.png\n  )\n"
    )
    assert install_mistakes(cmake) == [
        "gone.py: no such file",
        f"{tmp_path}/A.png: no such file",
        f"{tmp_path}/A.png: an absolute path",
        "A.py: named twice",
        "forgotten.py: not installed",
    ]
