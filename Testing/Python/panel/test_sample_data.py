"""The sample studies: phantoms that become volume nodes, and what the Sample Data module is told of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.errors import AcuteFindingsError, CancelledError, StudyError
from AcuteFindingsLib.phantoms.write_dicom import write_dicom


@pytest.fixture(scope="module")
def worker():
    from AcuteFindingsLib.widgets.worker.process import WorkerProcess

    made = WorkerProcess()
    yield made
    made.stop()


@pytest.fixture
def registered(scene):
    import slicer

    from AcuteFindingsLib.widgets.samples.sample_data import CATEGORY, register_samples

    if hasattr(slicer.modules, "sampleDataSources"):
        slicer.modules.sampleDataSources.pop(CATEGORY, None)
    register_samples()
    return slicer.modules.sampleDataSources[CATEGORY]


def test_there_is_a_positive_and_a_negative_for_each_detector(registered):
    from AcuteFindingsLib.widgets.samples.sample_data import samples

    assert [source.sampleName for source in registered] == [sample.name for sample in samples()]
    wanted = {(name, positive) for name in ("pe", "hemorrhage", "pneumothorax") for positive in (True, False)}
    assert {(sample.detector, sample.positive) for sample in samples()} == wanted
    assert len(samples()) == len(wanted)


def test_every_sample_has_a_picture_and_nothing_to_download(registered):
    for source in registered:
        assert Path(source.thumbnailFileName).is_file()
        assert not any(source.uris)
        assert len(source.uris) == len(source.fileNames) == len(source.nodeNames)


def test_a_detector_of_another_package_brings_the_picture_of_its_sample(tmp_path):
    from AcuteFindingsLib.widgets.samples.sample_data import samples, thumbnail

    picture = tmp_path / "SampleOfMine.png"
    picture.write_bytes(b"")
    assert thumbnail(replace(samples()[0], thumbnail=str(picture))) == picture


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["pe", "hemorrhage", "pneumothorax"])
def test_the_samples_of_a_detector_differ_in_the_finding_alone(detector):
    from AcuteFindingsLib.widgets.samples.sample_data import samples

    small = {"ctpa": {"matrix": 64, "slice_spacing": 10.0}, "head-ct": {"matrix": 64, "slice_spacing": 10.0}}
    pair = [sample for sample in samples() if sample.detector == detector]
    made = [
        make_phantom(sample.kind, sample.seed, positive=sample.positive, **small.get(sample.kind, {"size": 128}))
        for sample in pair
    ]
    assert [phantom.positive for phantom in made] == [sample.positive for sample in pair]
    assert len({sample.seed for sample in pair}) == 1
    findings = [{key for key, value in phantom.study_labels.items() if value == 1} for phantom in made]
    if detector == "pneumothorax":
        assert findings[0] - findings[1] == {"pneumothorax"}
        assert findings[1] - findings[0] == set()


def test_a_phantom_ct_becomes_a_volume_in_hu_where_its_dicom_says(scene, tmp_path):
    import slicer

    from AcuteFindingsLib.widgets.samples.phantom_volume import UIDS, load_series

    phantom = make_phantom("head-ct", 3, positive=True, matrix=64, slice_spacing=8.0)
    files = write_dicom(phantom, tmp_path)
    node = load_series(tmp_path, "Head")
    voxels = slicer.util.arrayFromVolume(node)
    assert voxels.dtype == np.int16
    np.testing.assert_allclose(voxels, np.clip(phantom.array, -1024, 3071), atol=0.5)
    dz, dy, dx = phantom.spacing
    np.testing.assert_allclose(node.GetSpacing(), (dx, dy, dz), rtol=1e-4)
    # The phantom is centered on the origin; rows run to the back, columns to the patient's left.
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node))
    np.testing.assert_allclose(np.sign(np.diag(matrix)[:3]), (-1, -1, 1))
    middle = (np.array(voxels.shape[::-1]) - 1) / 2
    np.testing.assert_allclose((matrix @ [*middle, 1])[:3], 0, atol=0.01)
    assert len(node.GetAttribute(UIDS).split()) == len(files)
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (80, 40)


def test_a_phantom_radiograph_becomes_one_upright_slice(scene, tmp_path):
    import slicer

    from AcuteFindingsLib.widgets.samples.phantom_volume import load_series

    phantom = make_phantom("chest-xray", 3, positive=False, size=128)
    write_dicom(phantom, tmp_path)
    node = load_series(tmp_path, "Chest")
    voxels = slicer.util.arrayFromVolume(node)
    assert voxels.shape == phantom.array.shape
    np.testing.assert_allclose(voxels / 4095, phantom.array, atol=1e-3)
    np.testing.assert_allclose(np.diag(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node)))[:2] < 0, True)


def test_a_folder_without_dicom_is_named(scene, tmp_path):
    from AcuteFindingsLib.widgets.samples.phantom_volume import load_series

    with pytest.raises(StudyError, match=r"\.dcm"):
        load_series(tmp_path, "Nothing")


@pytest.mark.slow
def test_the_worker_makes_a_phantom_and_leaves_no_file(scene, worker):
    import slicer

    from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

    before = set(Path(slicer.app.temporaryPath).iterdir())
    told = []
    node = load_phantom(
        "chest-xray",
        1,
        positive=True,
        options={"size": 128},
        worker=worker,
        progress=lambda text, share: told.append((text, share)),
    )
    assert node.GetName() == "chest-xray"
    assert node.GetImageData().GetDimensions()[2] == 1
    assert told
    assert set(Path(slicer.app.temporaryPath).iterdir()) == before


@pytest.mark.slow
def test_a_phantom_that_cannot_be_made_is_told_in_a_sentence(scene, worker):
    from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

    with pytest.raises(AcuteFindingsError, match="no phantom 'knee'"):
        load_phantom("knee", 1, positive=True, worker=worker)


def test_waiting_ends_when_the_worker_is_stopped(scene):
    from AcuteFindingsLib.widgets.samples.phantom_volume import ask

    class Stopped:
        busy = False

        def request(self, *_arguments, **_callbacks):
            pass

        def wait(self, _milliseconds):
            pass

    with pytest.raises(CancelledError):
        ask(Stopped(), "ping", {})


def test_an_error_in_the_sample_data_module_is_shown(host, registered, monkeypatch):
    import qt

    from AcuteFindingsLib.widgets.samples import sample_data

    def fail(*_arguments, **_options):
        raise AcuteFindingsError("The disk is full.")

    monkeypatch.setattr(sample_data, "load_sample", fail)
    host.dialogs.answer(qt.QMessageBox.Ok)
    assert registered[0].customDownloader(registered[0]) == []
    assert "The disk is full." in str(host.dialogs.asked[-1])


def test_a_sample_is_shown_in_the_slice_views(scene, monkeypatch, tmp_path):
    from AcuteFindingsLib.widgets.samples import sample_data
    from AcuteFindingsLib.widgets.samples.phantom_volume import load_series

    write_dicom(make_phantom("chest-xray", 1, positive=True, size=128), tmp_path)
    asked = []

    def load(kind, seed, *, positive, name, options, worker, progress):
        asked.append((kind, seed, positive, options))
        return load_series(tmp_path, name)

    monkeypatch.setattr(sample_data, "load_phantom", load)
    monkeypatch.setattr(sample_data, "ensure_packages", lambda _parent: True)
    source = SimpleNamespace(sampleName=sample_data.samples()[-2].name)
    (node,) = sample_data.load_source(source)
    assert asked == [("chest-xray", sample_data.samples()[-2].seed, True, {})]
    assert node.GetName() == sample_data.samples()[-2].name
    composite = scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert composite is None or composite.GetBackgroundVolumeID() == node.GetID()


def test_without_packages_nothing_is_made(scene, monkeypatch):
    from AcuteFindingsLib.widgets.samples import sample_data

    monkeypatch.setattr(sample_data, "ensure_packages", lambda _parent: False)
    assert sample_data.load_source(SimpleNamespace(sampleName=sample_data.samples()[0].name)) == []
    assert scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode") is None


def _ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix
