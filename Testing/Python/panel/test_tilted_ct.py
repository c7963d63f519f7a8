"""What Slicer's DICOM module makes of tilted and uneven CT, run and read slice by slice in the panel's own parts."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SCENE_TESTS = Path(__file__).parents[1] / "scene"
if str(SCENE_TESTS) not in sys.path:
    sys.path.insert(0, str(SCENE_TESTS))

from dicom_loading import add_volume, load_series  # noqa: E402

from AcuteFindingsLib.detectors.phantoms import make_phantom  # noqa: E402
from AcuteFindingsLib.detectors.registry import find_kind  # noqa: E402
from AcuteFindingsLib.phantoms.as_study import phantom_study  # noqa: E402
from AcuteFindingsLib.scene.navigation import current_slice, jump_to_slice  # noqa: E402
from AcuteFindingsLib.study.reader import read_study  # noqa: E402
from AcuteFindingsLib.widgets.models.rows import set_user_folders  # noqa: E402
from AcuteFindingsLib.widgets.worker.process import WorkerProcess  # noqa: E402
from AcuteFindingsLib.widgets.worker.run_controller import run_blocking  # noqa: E402

TILT_DEG = 18.0
SAGITTAL = (0.0, 1, 0, 0, 0, -1)


@pytest.fixture(scope="module")
def worker(_application):
    made = WorkerProcess()
    yield made
    made.stop()


@pytest.fixture
def settings(host, tiny_models):
    import qt

    made = qt.QSettings()
    made.clear()
    set_user_folders(made, [tiny_models])
    yield made
    made.clear()


@pytest.fixture(scope="session")
def write_series():
    spec = importlib.util.spec_from_file_location("_study_builders", SCENE_TESTS.parent / "study" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_series


@pytest.fixture(scope="session")
def files(write_series, tmp_path_factory):
    """A phantom's head whose gantry was tilted and whose lower slices lie closer together."""
    study = phantom_study(make_phantom("head-ct", 900_001, positive=True, matrix=128, slice_spacing=8))
    hu = np.rint(np.asarray(study.array))
    gaps = np.where(np.arange(len(hu)) < len(hu) // 2, 5.0, 8.0)
    return write_series(
        tmp_path_factory.mktemp("tilted"),
        hu,
        spacing=(8.0, study.spacing[1], study.spacing[2]),
        heights=np.cumsum(gaps),
        tilt_deg=TILT_DEG,
        BodyPartExamined="HEAD",
    )


@pytest.fixture
def loaded(scene, files, monkeypatch):
    from AcuteFindingsLib.widgets.panel import series_check
    from AcuteFindingsLib.widgets.worker import run_controller

    made = load_series(files, scene)
    for module in (run_controller, series_check):
        monkeypatch.setattr(module, "instance_file", lambda: made.instance_file)
    return made


def run(loaded, worker, settings):
    return run_blocking("hemorrhage", loaded.node, force=True, worker=worker, settings=settings)


def test_runs_as_loaded_and_hardened_as_the_command_reads_the_files(host, loaded, worker, settings, files):
    assert loaded.node.GetParentTransformNode() is not None
    read = read_study(files[0].parent, requirements=find_kind("hemorrhage").requirements)
    result = run(loaded, worker, settings)
    uids = [source.sop_instance_uid for source in read.sources]
    assert [item.sop_instance_uid for item in result.finding.slices] == uids
    assert np.allclose(result.finding.ijk_to_ras, read.ijk_to_ras, atol=1e-4)
    places = [item.position_ras for item in result.finding.slices]
    assert np.allclose(places, [source.position_ras for source in read.sources], atol=1e-3)

    assert loaded.node.HardenTransform()
    hardened = run(loaded, worker, settings).finding
    assert hardened.verdict.label == result.finding.verdict.label
    assert hardened.verdict.probability == pytest.approx(result.finding.verdict.probability, abs=0.001)
    assert not any(item.sop_instance_uid for item in hardened.slices)
    codes = {notice.code for notice in hardened.warnings}
    assert "slices-not-original" in codes
    assert "uneven-spacing" not in codes


def test_the_panel_offers_a_volume_under_its_acquisition_transform(host, loaded, worker):
    from AcuteFindingsLib.widgets.panel.series_check import SeriesCheck

    said = []
    check = SeriesCheck("hemorrhage", worker=lambda: worker, on_text=said.append)
    check.show(loaded.node)
    host.wait_until(lambda: "tilt" in said[-1], 60, "what the check says")
    check.stop()
    assert not any("Does not fit" in text and "transform" in text for text in said)


def test_slicers_own_dicom_module_gives_the_study_of_the_command(host, scene, data_folder, tmp_path):
    """The genuine module with its genuine acquisition transform: in the application alone."""
    import slicer

    DICOMUtils = pytest.importorskip("DICOMLib", reason="the stand-in has no DICOM module").DICOMUtils

    from AcuteFindingsLib.scene.study_from_node import study_facts
    from AcuteFindingsLib.widgets.panel.series_check import instance_file

    read = read_study(data_folder / "head-ct-dicom", requirements=find_kind("hemorrhage").requirements)
    with DICOMUtils.TemporaryDICOMDatabase(str(tmp_path / "database")) as database:
        DICOMUtils.importDicom(str(data_folder / "head-ct-dicom"), database)
        nodes = [
            slicer.mrmlScene.GetNodeByID(one) for one in DICOMUtils.loadSeriesByUID([read.dicom.series_instance_uid])
        ]
        volume = next(node for node in nodes if node.IsA("vtkMRMLScalarVolumeNode"))
        assert volume.GetParentTransformNode() is not None
        loaded = study_facts(volume, "hemorrhage", instance_file=instance_file())
        assert loaded.notices == read.notices
        assert np.abs(np.asarray(loaded.array) - read.array).max() < 0.01
        assert np.allclose(loaded.ijk_to_ras, read.ijk_to_ras, atol=1e-5)
        assert volume.HardenTransform()
        hardened = study_facts(volume, "hemorrhage", instance_file=instance_file())
        assert np.array_equal(np.asarray(hardened.array), read.array)
        assert not any(source.sop_instance_uid for source in hardened.sources)
        assert "uneven-spacing" not in {notice.code for notice in hardened.notices}


@pytest.mark.parametrize("turned", [False, True])
def test_every_slice_is_found_again_in_the_views(host, loaded, worker, settings, turned):
    import slicer

    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    result = run(loaded, worker, settings)
    heard = []
    link = ChartLink(result, on_slice=heard.append)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    if turned:
        red.RotateToVolumePlane(loaded.node)
    for item in result.finding.slices:
        jump_to_slice(result, item.index)
        assert current_slice(result, red) == item.index
        assert link.current == item.index
    link.close()


def test_the_cursor_follows_the_view_along_sagittal_slices(host, scene):
    import runpy

    import slicer

    from AcuteFindingsLib.scene.nodes import show_finding
    from AcuteFindingsLib.scene.results import result_of
    from AcuteFindingsLib.widgets.panel.chart_link import ChartLink

    case = runpy.run_path(str(SCENE_TESTS / "conftest.py"))["head"].__wrapped__()
    navigation = runpy.run_path(str(SCENE_TESTS / "test_navigation.py"))
    finding, study = navigation["moved"](case, navigation["rotation"](90, 1) @ navigation["rotation"](180, 0))
    result = result_of(show_finding(finding, study, scene=scene).text)
    link = ChartLink(result)
    views = {node.GetName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
    for item in finding.slices:
        views["Yellow"].JumpSliceByOffsetting(*item.position_ras)
        assert link.current == item.index
    views["Red"].JumpSliceByOffsetting(1.0, 2.0, 3.0)
    assert link.current == finding.slices[-1].index
    link.close()


def test_voxels_that_are_not_numbers_get_a_sentence(host, scene, worker):
    from AcuteFindingsLib.widgets.panel.series_check import SeriesCheck

    study = phantom_study(make_phantom("head-ct", 900_001, positive=True, matrix=128, slice_spacing=8))
    hu = np.array(study.array, np.float32)
    hu[3, 5, 6:9] = np.nan
    said = []
    check = SeriesCheck("hemorrhage", worker=lambda: worker, on_text=said.append)
    check.show(add_volume(scene, hu, study.ijk_to_ras))
    host.wait_until(lambda: "3 voxels hold no number" in said[-1], 60, "what the check says")
    check.stop()


def test_a_negative_without_header_is_turned_in_words(host, scene, worker):
    from AcuteFindingsLib.widgets.panel.series_check import SeriesCheck

    study = phantom_study(make_phantom("chest-xray", 900_001, positive=True))
    stored = np.rint(4095 * (1 - np.asarray(study.array, np.float32))).astype(np.uint16)
    said = []
    check = SeriesCheck("pneumothorax", worker=lambda: worker, on_text=said.append)
    check.show(add_volume(scene, stored, study.ijk_to_ras))
    host.wait_until(lambda: "negative" in said[-1], 60, "what the check says")
    check.stop()
