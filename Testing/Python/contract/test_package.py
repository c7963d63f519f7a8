"""A rehearsal of the Extensions Index: the extension is configured and packaged as Slicer's factory machines do it.

`slicer_dir` stands in for a built Slicer. What is in the package must be what is in the source tree.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from extension_files import MODULES, ROOT

SLICER_DIR = Path(__file__).resolve().parent / "slicer_dir"
MODULE_FOLDER = "lib/Slicer-5.12/qt-scripted-modules"
SHARE_FOLDER = "share/Slicer-5.12"

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("make")), reason="packaging needs cmake and make"
)


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False)


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    toolchain = SLICER_DIR / "no_compiler.cmake"
    return cmake(
        "-S", source, "-B", build, "-G", "Unix Makefiles", f"-DSlicer_DIR={SLICER_DIR}",
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    configured = configure(ROOT, folder)
    assert configured.returncode == 0, configured.stderr
    assert "Warning" not in configured.stderr, configured.stderr
    built = cmake("--build", folder, "--target", "package", "--parallel", "2")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def package(build, tmp_path_factory) -> Path:
    """The package, unpacked."""
    [archive] = build.glob("*-AcuteFindings.tar.gz")
    folder = tmp_path_factory.mktemp("package")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def files_below(folder: Path) -> set[str]:
    """Return the files that belong to the sources, by their paths: no caches, nothing hidden."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(folder).parts)
    }


def expected_modules() -> set[str]:
    modules = {name for module in MODULES for name in files_below(ROOT / module) - {"CMakeLists.txt"}}
    shared = {f"Resources/{folder}/{name}" for folder in ("Models", "Recipes", "Imports", "Likeness")
              for name in files_below(ROOT / "Resources" / folder)}  # fmt: skip
    return modules | shared


@pytest.mark.slow
def test_what_exists_is_packaged_and_nothing_else(package):
    expected = {f"{MODULE_FOLDER}/{name}" for name in expected_modules()}
    expected |= {f"{SHARE_FOLDER}/AcuteFindings.s4ext", f"{SHARE_FOLDER}/AcuteFindings/LICENSE"}
    packaged = files_below(package)
    assert sorted(expected - packaged) == []
    assert sorted(packaged - expected) == []


@pytest.mark.slow
def test_packaged_files_are_the_sources_byte_for_byte(package):
    places = [*(ROOT / name for name in MODULES), ROOT]
    for name in expected_modules():
        source = next(place / name for place in places if (place / name).is_file())
        assert (package / MODULE_FOLDER / name).read_bytes() == source.read_bytes(), name


def test_every_module_has_its_script_panel_and_icon_in_the_flat_folder(package):
    folder = package / MODULE_FOLDER
    for name in MODULES:
        wanted = (f"{name}.py", f"Resources/UI/{name}.ui", f"Resources/Icons/{name}.png")
        assert [file for file in wanted if not (folder / file).is_file()] == []


def test_no_two_modules_or_other_extensions_meet_in_the_flat_folder(package):
    # All modules of an extension share that folder, and a module path of Slicer's that of all extensions.
    tops = {path.name for path in (package / MODULE_FOLDER).iterdir()}
    assert tops == {"AcuteFindingsLib", "Resources", *(f"{name}.py" for name in MODULES)}
    names = files_below(package)
    assert len({name.lower() for name in names}) == len(names), "two files differ by case only"


def test_paths_leave_room_for_the_folder_of_a_windows_user(package):
    # 260 characters are Windows' limit; the Extensions Manager's folder took 105 where a user's name had 20:
    # C:/Users/.../AppData/Local/slicer.org/3D Slicer 5.12.3/slicer.org/Extensions-34627/AcuteFindings/
    assert max(len(name) for name in files_below(package)) < 260 - 120


def test_self_tests_and_generic_tests_are_registered(build):
    listed = subprocess.run(["ctest", "-N"], cwd=build, capture_output=True, text=True, timeout=60, check=True).stdout
    tests = {line.split()[-1] for line in listed.splitlines() if "Test  #" in line or "Test #" in line}
    expected = {"py_run_self_tests", "py_nomainwindow_run_self_tests"}
    for name in MODULES:
        expected |= {f"py_{name}", f"py_nomainwindow_{name}", f"py_nomainwindow_qSlicer{name}ModuleGenericTest"}
    assert tests == expected


def test_the_description_in_the_package_tells_the_same_as_the_index(package):
    lines = (package / SHARE_FOLDER / "AcuteFindings.s4ext").read_text().splitlines()
    told = dict(line.split(" ", 1) for line in lines)
    index = json.loads((ROOT / "AcuteFindings.json").read_text())
    assert told["depends"].split() == index["build_dependencies"]
    assert index["scm_url"] == told["homepage"] + ".git"
    raw = told["homepage"].replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    for url in (told["iconurl"], *told["screenshoturls"].split()):
        assert url.startswith(raw)
        assert (ROOT / url.removeprefix(raw)).is_file(), f"{url}: no such file in the repository"


IMPORT_ALL = """
import importlib, pkgutil, sys
from pathlib import Path
flat, modules = Path(sys.argv[1]), sys.argv[3:]
sys.path[:0] = [str(flat), sys.argv[2]]
import host
host.start()
host.renew(main_window=True)
import AcuteFindingsLib
names = [item.name for item in pkgutil.walk_packages(AcuteFindingsLib.__path__, "AcuteFindingsLib.")]
for name in names:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:  # What runs in an environment of its own: Keras, a provider's.
        assert not error.name.startswith("AcuteFindingsLib"), error
    else:
        assert Path(module.__file__).is_relative_to(flat), name
for name in modules:
    host.load_module(str(flat / (name + ".py")))
from AcuteFindingsLib.cli import app
from AcuteFindingsLib.resources import resource_path
assert resource_path("Models", "catalogue.json").is_relative_to(flat)
print(len(names), "imported")
"""


@pytest.mark.slow
def test_everything_imports_from_the_flat_folder(package):
    pytest.importorskip("slicer", reason="modules need slicer-core: pip install .[scene]")
    pytest.importorskip("PySide6", reason="modules need PySide6-Essentials: pip install .[test]")
    arguments = [package / MODULE_FOLDER, ROOT / "Testing" / "Host", *MODULES]
    ended = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={"PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen", "HOME": str(package)},
        cwd=package,
    )
    assert ended.stdout.endswith("imported\n"), ended.stderr


@pytest.mark.slow
def test_the_shipped_models_are_complete_in_the_package(package):
    code = "from AcuteFindingsLib.cli import app; app()"
    ended = subprocess.run(
        [sys.executable, "-B", "-c", code, "models", "list"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(package / MODULE_FOLDER), "HOME": str(package)},
        cwd=package,
    )
    assert ended.returncode == 0, ended.stderr
    shipped = [path.parent.name for path in (ROOT / "Resources" / "Models").glob("*/checksums.json")]
    assert shipped
    assert [name for name in shipped if name not in ended.stdout] == []


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("SCRIPTS A.py gone.py", "'gone.py' is not a file of A"),
        ("SCRIPTS A.py A.py", "'A.py' of A is there already"),
        ("SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/A.py", "is not a file of A"),
        ("SCRIPTS A.py WITH_TESTS", "is not a file of A"),
        ("RESOURCES A.py", "NAME or SCRIPTS missing"),
    ],
)
def test_a_planted_mistake_ends_the_configuration(tmp_path, module, said):
    (tmp_path / "A.py").write_text("")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(A)\nfind_package(Slicer REQUIRED)\ninclude(${Slicer_USE_FILE})\n"
        f"slicerMacroBuildScriptedModule(NAME A {module})\n"
    )
    configured = configure(tmp_path, tmp_path / "build")
    assert configured.returncode != 0
    assert said in " ".join(configured.stderr.split())
