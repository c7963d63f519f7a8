"""A folder that holds what the examples of the documentation name, and a shell that runs their commands."""

import contextlib
import csv
import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# As in the worker process (`jobs.worker_jobs`): after VTK this would end the process.
with contextlib.suppress(ImportError):
    import torch._dynamo  # noqa: F401

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))


def _builders(place: str = "training/data/builders.py"):
    """Return the module that makes tiny data sets for other tests."""
    path = HERE.parent / place
    spec = importlib.util.spec_from_file_location(f"documentation_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def _tables(folder: Path, images: list[str]) -> None:
    """Two models' predictions, three runs of one, and three label sets of the radiographs."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "run1", "run2", "run3"):
        _table(folder / f"{name}.csv", ["image", "any"], [[image, f"{rng.random():.3f}"] for image in images])
    radiographs = sorted(path.name for path in (folder / "radiographs").glob("*.png"))
    for number, name in enumerate(("boxes", "google", "rsna")):
        rows = [[image, (place + number // 2) % 2] for place, image in enumerate(radiographs)]
        _table(folder / f"{name}.csv", ["image", "pneumothorax"], rows)


def _arrivals(folder: Path) -> None:
    """A department's studies of three days, and its settings of urgency."""
    rng = np.random.default_rng(3)
    rows = [[60 * place, int(place % 7 == 0), f"{5 + 5 * rng.random():.1f}"] for place in range(72)]
    _table(folder / "arrivals.csv", ["arrived", "positive", "reading_minutes"], rows)
    (folder / "urgency.toml").write_text("limit_minutes = 240\n", encoding="utf-8")


def _lungs_program(path: Path) -> None:
    """A small ONNX file that draws something on a radiograph of 64×64 pixels and answers with a probability."""
    from onnx import TensorProto, helper, save

    shape = ["n", 1, 64, 64]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    drawn = helper.make_tensor_value_info("mask", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("Sigmoid", ["image"], ["mask"])]
    graph = helper.make_graph(nodes, "lungs", [given], [drawn])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name, made once."""
    from AcuteFindingsLib.detectors.phantoms import make_phantom
    from AcuteFindingsLib.phantoms.write_dicom import write_phantom

    builders = _builders()
    folder = tmp_path_factory.mktemp("prepared")
    head = make_phantom("head-ct", 2, positive=True, matrix=128, slice_spacing=10.0)
    study = write_phantom(head, folder / "made")
    shutil.copytree(study if isinstance(study, Path) else next((folder / "made").iterdir()), folder / "STUDY")
    shutil.rmtree(folder / "STUDY" / "truth", ignore_errors=True)
    builders.build_siim(folder / "data" / "siim", patients=6)
    builders.build_rsna_hemorrhage(folder / "data" / "rsna-hemorrhage", patients=2)
    slices = builders.build_head_slices(folder / "data" / "head-slices", patients=6)
    shutil.copytree(slices / "images", folder / "slices")
    shutil.copy(slices / "labels.csv", folder / "labels.csv")
    lungs = builders.build_lung_masks(folder / "data" / "lung-masks", patients=4)
    shutil.copytree(lungs / "images", folder / "radiographs")
    with (folder / "labels.csv").open() as stream:
        _tables(folder, [row["image"] for row in csv.DictReader(stream)])
    _lungs_program(folder / "lungs.onnx")
    _arrivals(folder)
    studies = _builders("trust/site_studies.py")
    studies.write_results(folder / "site", *studies.scores(300, prevalence=0.4, apart=7.0, seed=1))
    return folder


@pytest.fixture
def world(prepared: Path, tmp_path: Path) -> Path:
    """A folder with the prepared files in it, which is also the home of a page's commands."""
    folder = tmp_path
    for item in prepared.iterdir():
        (folder / item.name).symlink_to(item)
    (folder / "home").mkdir()
    return folder


@pytest.fixture
def shell(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[[list[str]], str]:
    """Run the words of a command in `world` and return what it printed; a status that is not 0 fails."""
    from AcuteFindingsLib import cli

    monkeypatch.chdir(world)
    monkeypatch.setenv("HOME", str(world / "home"))

    def run(words: list[str]) -> str:
        words = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]
        target = None
        if ">" in words:
            words, target = words[: words.index(">")], Path(words[-1])
        program, *arguments = words
        if program == "mkdir":
            Path(arguments[-1]).mkdir(parents=True, exist_ok=True)
            return ""
        assert program == "acutefindings", f"mark this block as no-run, or teach this test {program}"
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, errors = capsys.readouterr()
        assert not ended.value.code, f"{' '.join(words)}\n{errors}"
        if target is not None:
            target.write_text(printed)
        return printed

    return run
