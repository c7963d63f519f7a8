import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.finding import Finding, load_finding
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CancelledError, ExportError, SceneError, StudyError, StudyRefusedError
from AcuteFindingsLib.jobs.run_study import StudyRequest, choose_detector, run_study
from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.scene import offscreen, pictures
from AcuteFindingsLib.study.reader import read_study

pytestmark = pytest.mark.slow

# What the command promises of finding.json.
PROMISED = {
    "model": {"id", "version", "sha256", "trained_on", "chosen"},
    "verdict": {"label", "probability", "threshold", "rule", "explanation"},
    "slices": {"index", "position_ras", "sop_instance_uid", "probabilities"},
    "masks": {"name", "code", "file"},
    "measurements": {"name", "value", "unit", "code"},
    "warnings": {"code", "severity", "text"},
}


@pytest.fixture
def request_for(tiny_models: Path, tmp_path: Path) -> Callable[..., StudyRequest]:
    def make(source: Path, detector: str, **fields) -> StudyRequest:
        return StudyRequest(
            **{
                "source": source,
                "out": tmp_path / "out",
                "detector": detector,
                "model_folders": (tiny_models,),
                **fields,
            }
        )

    return make


@pytest.fixture
def without_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes longest: this machine has no Slicer libraries."""

    def missing(*_, **__):
        raise SceneError("Slicer's libraries could not be loaded")

    monkeypatch.setattr("AcuteFindingsLib.scene.bundle.write_scene", missing)
    monkeypatch.setattr(pictures, "offscreen_rendering_problem", lambda: "Slicer's libraries could not be loaded")


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def check_promises(result: StudyResult, out: Path, detector: str) -> dict:
    data = json.loads((out / "finding.json").read_text(encoding="utf-8"))
    assert result.finding_file == out / "finding.json"
    assert data["detector"] == detector
    for name, fields in PROMISED.items():
        entries = data[name] if isinstance(data[name], list) else [data[name]]
        for entry in entries:
            assert fields <= set(entry), name
    assert data["model"]["id"] == f"tiny-{detector}"
    assert len(data["model"]["sha256"]) == 64
    assert data["verdict"]["label"] in ("positive", "negative", "indeterminate")
    assert [item["index"] for item in data["slices"]] == list(range(len(data["slices"])))
    for item in data["slices"]:
        assert len(item["position_ras"]) == 3
        assert all(0 <= value <= 1 for value in item["probabilities"].values())
    assert {"read", "network", "total"} <= set(data["timings"])
    assert all(seconds >= 0 for seconds in data["timings"].values())
    assert sum(v for k, v in data["timings"].items() if k != "total") <= data["timings"]["total"] * 1.01
    return data


def check_files(result: StudyResult, out: Path, data: dict) -> None:
    for mask in data["masks"]:
        image = sitk.ReadImage(str(out / mask["file"]))
        assert int(np.count_nonzero(sitk.GetArrayFromImage(image))) == mask["voxels"]
    page = result.report.read_text(encoding="utf-8")
    assert result.report == out / "report.html"
    assert "research" in page.lower()
    assert result.finding.model.id in page
    assert page.count("data:image/png;base64,") == len(result.pictures)
    assert result.pictures
    for picture in result.pictures:
        assert picture.path.parent == out / "pictures"
        assert picture.path.read_bytes().startswith(b"\x89PNG")
    if result.scene is None:
        assert any("scene" in remark for remark in result.remarks)
    else:
        with zipfile.ZipFile(out / "scene.mrb") as archive:
            assert any(name.endswith(".mrml") for name in archive.namelist())


@pytest.mark.parametrize(
    ("detector", "study", "masks"),
    [
        ("hemorrhage", "head_ct", ["Hemorrhage"]),
        ("pe", "ctpa", []),
        ("pneumothorax", "chest_xray", ["Pneumothorax", "Right lung", "Left lung"]),
    ],
)
def test_a_study_becomes_a_verdict_with_evidence(
    detector: str, study: str, masks: list[str], request: pytest.FixtureRequest, request_for, tmp_path: Path
) -> None:
    source = request.getfixturevalue(study)
    told: list[float] = []
    # Small pictures and few slices: the check may well refuse them, which is not what this test is about.
    result = run_study(request_for(source, detector, force=True), progress=lambda text, fraction: told.append(fraction))
    data = check_promises(result, tmp_path / "out", detector)
    check_files(result, tmp_path / "out", data)
    assert [mask["name"] for mask in data["masks"]] == masks
    read = read_study(source, requirements=find_kind(detector).requirements)
    assert [item["sop_instance_uid"] for item in data["slices"]] == [item.sop_instance_uid for item in read.sources]
    assert [item["position_ras"] for item in data["slices"]] == [list(item.position_ras) for item in read.sources]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert load_finding(tmp_path / "out" / "finding.json").to_dict() == data


def test_a_refused_study_writes_nothing(empty_ct: Path, request_for, tmp_path: Path) -> None:
    with pytest.raises(StudyRefusedError, match=r"\[constant-image\].*--force"):
        run_study(request_for(empty_ct, "hemorrhage"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_scene")
def test_force_runs_a_refused_study_and_keeps_the_refusal(empty_ct: Path, request_for) -> None:
    result = run_study(request_for(empty_ct, "hemorrhage", force=True))
    refusals = [notice.code for notice in result.finding.warnings if notice.severity == "refuse"]
    assert refusals == ["constant-image"]
    assert "constant-image" in result.finding_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_two_patients_is_not_run_forced_or_not(
    chest_xray: Path, request_for, tmp_path: Path, force: bool
) -> None:
    (first,) = chest_xray.rglob("*.dcm") if chest_xray.is_dir() else (chest_xray,)
    folder = tmp_path / "both"
    for name in ("a", "b"):
        dataset = pydicom.dcmread(first)
        dataset.PatientID, dataset.SeriesInstanceUID = name, f"1.2.3.{ord(name)}"
        (folder / name).mkdir(parents=True)
        dataset.save_as(folder / name / "image.dcm")
    with pytest.raises(StudyError, match=r"2 patients.*patient 2: b/image\.dcm"):
        run_study(request_for(folder, "pneumothorax", force=force))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_scene")
def test_a_named_series_is_run_from_a_folder_of_two_patients(chest_xray: Path, request_for, tmp_path: Path) -> None:
    (first,) = chest_xray.rglob("*.dcm") if chest_xray.is_dir() else (chest_xray,)
    folder = tmp_path / "both"
    for name in ("a", "b"):
        dataset = pydicom.dcmread(first)
        dataset.PatientID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
            name,
            f"1.2.{ord(name)}",
            f"1.{ord(name)}",
        )
        (folder / name).mkdir(parents=True)
        dataset.save_as(folder / name / "image.dcm")
    result = run_study(request_for(folder, "pneumothorax", series=f"1.2.{ord('b')}"))
    assert result.finding.slices[0].sop_instance_uid == f"1.{ord('b')}"


def test_auto_chooses_the_detector_that_the_study_fits(head_ct: Path, chest_xray: Path) -> None:
    assert choose_detector(read_study(head_ct)) == "hemorrhage"
    assert choose_detector(read_study(chest_xray)) == "pneumothorax"


def test_auto_names_the_choices_where_none_fits(chest_xray: Path) -> None:
    study = read_study(chest_xray)
    hand = replace(study, dicom=replace(study.dicom, body_part="HAND", series_description=""))
    with pytest.raises(StudyError, match=r"fits none.*pe\|hemorrhage\|pneumothorax"):
        choose_detector(hand)


@pytest.mark.usefixtures("without_scene")
def test_auto_runs_what_it_chose(head_ct: Path, request_for) -> None:
    assert run_study(request_for(head_ct, "auto")).finding.detector == "hemorrhage"


@pytest.mark.parametrize(
    "stage", ["Reading headers", "Decoding", "Checking", "Preparing", "Reading slices", "Measuring"]
)
def test_cancel_at_any_stage_leaves_no_file(stage: str, head_ct: Path, request_for, tmp_path: Path) -> None:
    told: list[str] = []

    def stage_has_begun() -> bool:
        return any(text.startswith(stage) for text in told)

    with pytest.raises(CancelledError):
        run_study(
            request_for(head_ct, "hemorrhage"),
            progress=lambda text, fraction: told.append(text),
            cancelled=stage_has_begun,
        )
    assert told[-1].startswith(stage) or stage == "Measuring"
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_scene")
def test_without_slicer_matplotlib_draws_and_says_so(chest_xray: Path, request_for, tmp_path: Path) -> None:
    result = run_study(request_for(chest_xray, "pneumothorax", force=True))
    data = check_promises(result, tmp_path / "out", "pneumothorax")
    check_files(result, tmp_path / "out", data)
    assert result.scene is None
    assert not list((tmp_path / "out").glob("*.mrb"))
    assert len([remark for remark in result.remarks if "matplotlib" in remark]) == 1


def test_without_opengl_the_scene_is_written_and_one_remark_tells_why_matplotlib_drew(
    chest_xray: Path, request_for, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    monkeypatch.setattr(offscreen, "_working_window_class", lambda: None)
    result = run_study(request_for(chest_xray, "pneumothorax", force=True))
    assert result.scene is not None
    assert result.scene.is_file()
    assert len(result.remarks) == 1
    assert "OpenGL" in result.remarks[0]
    assert result.pictures


@pytest.mark.usefixtures("without_scene")
def test_nothing_of_an_earlier_run_stays_beside_a_new_finding(
    head_ct: Path, chest_xray: Path, request_for, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_study(request_for(head_ct, "hemorrhage", force=True))
    (out / "notes.txt").write_text("the user's own", encoding="utf-8")
    result = run_study(request_for(chest_xray, "pneumothorax", force=True))
    expected = {
        "acutefindings-files.json",
        "finding.json",
        "report.html",
        "notes.txt",
        *(f"masks/{name}.nrrd" for name in ("pneumothorax", "right-lung", "left-lung")),
        *(picture.path.relative_to(out).as_posix() for picture in result.pictures),
    }
    assert set(written(out)) - {"heatmap.nrrd"} == expected


@pytest.mark.usefixtures("without_scene")
def test_nothing_of_the_users_is_deleted_and_nothing_outside_the_folder_changes(
    head_ct: Path, request_for, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "dicom").mkdir(parents=True)
    for name in ("dicom/IM0001.dcm", "notes.txt", "../beside.txt"):
        (out / name).write_text("the user's own", encoding="utf-8")
    source = {path: path.read_bytes() for path in head_ct.rglob("*") if path.is_file()}
    for _ in range(2):
        result = run_study(request_for(head_ct, "hemorrhage", force=True))
    assert result.finding_file.is_file()
    assert all(picture.path.is_file() for picture in result.pictures)
    for name in ("dicom/IM0001.dcm", "notes.txt", "../beside.txt"):
        assert (out / name).read_text(encoding="utf-8") == "the user's own"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.txt", "out"]
    assert {path: path.read_bytes() for path in head_ct.rglob("*") if path.is_file()} == source


def test_a_foreign_file_in_the_way_is_told_before_the_study_is_read(head_ct: Path, request_for, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scene.mrb").write_text("saved by the user", encoding="utf-8")
    with pytest.raises(ExportError, match=r"scene\.mrb is in the way"):
        run_study(request_for(head_ct, "hemorrhage"), progress=lambda *_: pytest.fail("the run began"))


def test_the_folder_of_the_study_itself_is_no_place_for_its_results(head_ct: Path, request_for) -> None:
    before = sorted(head_ct.iterdir())
    with pytest.raises(ExportError, match="folder of the study itself"):
        run_study(request_for(head_ct, "hemorrhage", out=head_ct))
    assert sorted(head_ct.iterdir()) == before


def test_a_file_in_the_place_of_the_results_folder_is_told_at_once(head_ct: Path, request_for, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(ExportError, match="is a file"):
        run_study(request_for(head_ct, "hemorrhage"))


@pytest.mark.usefixtures("without_scene")
def test_an_inverted_twin_gives_the_same_answer(data_folder: Path, request_for, tmp_path: Path) -> None:
    folder = data_folder / "chest-xray-dicom"
    original = folder / "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"
    findings: list[Finding] = [
        run_study(request_for(file, "pneumothorax", out=tmp_path / name)).finding
        for name, file in (("original", original), ("twin", folder / "monochrome1_twin.dcm"))
    ]
    first, second = (np.array(list(finding.slices[0].probabilities.values())) for finding in findings)
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert (findings[0].masks[0].array != findings[1].masks[0].array).mean() < 1e-4


@pytest.mark.usefixtures("without_scene")
def test_every_slice_of_a_tilted_head_keeps_its_uid_in_order(data_folder: Path, request_for) -> None:
    finding = run_study(request_for(data_folder / "head-ct-dicom", "hemorrhage")).finding
    uids = [item.sop_instance_uid for item in finding.slices]
    heights = [item.position_ras[2] for item in finding.slices]
    assert len(uids) == len(set(uids)) == 28
    assert all(uids)
    assert heights == sorted(heights)


@pytest.mark.usefixtures("without_scene")
def test_a_chest_ct_without_contrast_is_refused_and_forced_scores_every_slice(
    data_folder: Path, request_for, tmp_path: Path
) -> None:
    source = data_folder / "chest-ct-dicom"
    with pytest.raises(StudyRefusedError, match="contrast"):
        run_study(request_for(source, "pe"))
    finding = run_study(request_for(source, "pe", force=True)).finding
    assert len(finding.slices) == 275
    assert all("pe" in item.probabilities for item in finding.slices)
    assert len({item.sop_instance_uid for item in finding.slices}) == 275


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX systems do")
@pytest.mark.parametrize("limit", [2_000, 30_000])
def test_a_full_disk_is_told_and_leaves_the_earlier_results(
    limit: int, head_ct: Path, tiny_models: Path, request_for, tmp_path: Path
) -> None:
    run_study(request_for(head_ct, "hemorrhage", force=True))
    before = {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")}
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from pathlib import Path\n"
        "from AcuteFindingsLib.errors import ExportError\n"
        "from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study\n"
        f"request = StudyRequest(Path({str(head_ct)!r}), Path({str(tmp_path / 'out')!r}), 'hemorrhage', force=True, "
        f"model_folders=(Path({str(tiny_models)!r}),))\n"
        "try:\n    run_study(request)\n"
        "except ExportError as error:\n    print('told:', error)\n"
    )
    library = str(Path(sys.modules["AcuteFindingsLib"].__file__ or "").parents[1])
    environment = {**os.environ, "PYTHONPATH": library, "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout.startswith("told:"), ran.stdout + ran.stderr[-2000:]
    assert {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_run_says_why_its_models_were_taken(chest_xray: Path, request_for, without_scene: None) -> None:
    left = run_study(request_for(chest_xray, "pneumothorax"))
    why = left.finding.model.chosen
    chosen = "chosen with `models default`"
    assert why == f"{chosen}; lungs by tiny-lungs, {chosen}; chest by tiny-chest, {chosen}"
    assert "lungs by tiny-lungs" in left.report.read_text(encoding="utf-8")
    named = run_study(request_for(chest_xray, "pneumothorax", model=left.finding.model.id))
    assert named.finding.model.chosen.startswith("named for this run; lungs by ")
    assert load_finding(named.finding_file).model.chosen == named.finding.model.chosen
