"""What is known of a study, in every form; what is gone or damaged is a sentence, never a failure of the server."""

import errno
import io
import json
import shutil
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pretended_uploads
import pytest
import SimpleITK as sitk

from AcuteFindingsLib.detectors.finding import load_finding
from AcuteFindingsLib.errors import WorklistError
from AcuteFindingsLib.jobs import results_folder
from AcuteFindingsLib.scene.nodes import ROLE
from AcuteFindingsLib.serve import evidence
from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.job_files import JobFiles
from AcuteFindingsLib.serve.removal import Expiry
from AcuteFindingsLib.serve.runner import Runner
from AcuteFindingsLib.serve.settings import ServeSettings
from AcuteFindingsLib.worklist.engines.local import LocalEngine
from AcuteFindingsLib.worklist.records import ResultsFolder, now
from AcuteFindingsLib.worklist.store import Store

ROUTES = (
    "finding", "chart", "chart.svg", "volume.nii.gz", "mask.nii.gz", "heatmap.nii.gz", "pictures", "pictures/0",
    "report.html", "seg", "sr", "card", "finding.zip",
)  # fmt: skip


def image_of(content: bytes, folder: Path) -> sitk.Image:
    file = folder / "image.nii.gz"
    file.write_bytes(content)
    return sitk.ReadImage(str(file))


def test_the_chart_is_the_findings_slices_in_numbers_and_drawn(app, uploaded):
    key = uploaded().key
    client = app()
    chart = client.get(f"/api/v1/studies/{key}/chart").json()
    assert chart["labels"] == ["any", "sah"]
    assert chart["threshold"] == 0.5
    assert chart["runs"] == [[1, 1]]
    assert [one["positive"] for one in chart["slices"]] == [False, True, False, False]
    assert chart["slices"][1] == {
        "index": 1, "number": 2, "k": 1.0, "probabilities": {"any": 0.9, "sah": 0.01}, "position_ras": [0.0, 0.0, 2.0],
        "positive": True,
    }  # fmt: skip
    drawn = client.get(f"/api/v1/studies/{key}/chart.svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in drawn.headers["content-security-policy"]
    assert drawn.text.startswith("<svg")


def test_the_mask_is_one_label_map_on_the_studys_grid_the_first_on_top(app, uploaded, tmp_path):
    key = uploaded().key
    image = image_of(app().get(f"/api/v1/studies/{key}/mask.nii.gz").content, tmp_path)
    expected = np.zeros((4, 5, 6), np.uint8)
    expected[1, 2, 3:5] = (1, 2)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    # RAS (-0.5, -0.5, 2) is LPS (0.5, 0.5, 2).
    assert image.GetSpacing() == pytest.approx((0.5, 0.5, 2.0))
    assert image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_the_heat_map_keeps_its_own_grid(app, uploaded, tmp_path):
    image = image_of(app().get(f"/api/v1/studies/{uploaded().key}/heatmap.nii.gz").content, tmp_path)
    assert image.GetSize() == (4, 3, 2)
    assert image.GetSpacing() == pytest.approx((1.0, 1.0, 4.0))
    assert set(sitk.GetArrayFromImage(image).ravel()) == {7}


def test_the_archive_is_what_the_library_reads(app, uploaded, tmp_path):
    content = app().get(f"/api/v1/studies/{uploaded().key}/finding.zip").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path / "unpacked")
    found, expected = load_finding(tmp_path / "unpacked" / "finding.json"), pretended_uploads.finding(0.9)
    assert found.to_dict() == expected.to_dict()
    for mask, other in zip(found.masks, expected.masks, strict=True):
        np.testing.assert_array_equal(mask.array, other.array)
    np.testing.assert_array_equal(found.heatmap.array, expected.heatmap.array)


def test_the_images_come_out_of_the_scene_where_a_batch_wrote_no_others(app, uploaded, tmp_path):
    key = uploaded(origin="").key
    folder = tmp_path / "results" / key
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.5, 3.0))
    sitk.WriteImage(image, str(tmp_path / "Head CT.nrrd"), True)
    mrml = (
        f'<MRML><Volume id="v" attributes="{ROLE}:volume" references="storage:s;"></Volume>'
        '<VolumeArchetypeStorage id="s" fileName="Data/Head%20CT.nrrd"></VolumeArchetypeStorage></MRML>'
    )
    with zipfile.ZipFile(folder / "scene.mrb", "w") as bundle:
        bundle.write(tmp_path / "Head CT.nrrd", "scene/Data/Head CT.nrrd")
        bundle.writestr("scene/scene.mrml", mrml)
    client = app()
    answer = client.get(f"/api/v1/studies/{key}/volume.nii.gz")
    read = image_of(answer.content, tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), array)
    assert read.GetSpacing() == pytest.approx((0.5, 0.5, 3.0))
    for damaged in (b"", b"no zip", (folder / "scene.mrb").read_bytes()[:200]):
        (folder / "scene.mrb").write_bytes(damaged)
        evidence._remembered.cache_clear()
        assert client.get(f"/api/v1/studies/{key}/volume.nii.gz").status_code == 404


def test_pictures_have_their_captions_and_those_of_a_batch_the_names_of_their_files(app, uploaded, tmp_path):
    key = uploaded().key
    folder = tmp_path / "results" / key
    (folder / "pictures").mkdir()
    (folder / "pictures" / "01-slice.png").write_bytes(b"png")
    client = app()
    assert client.get(f"/api/v1/studies/{key}/pictures").json()[0]["caption"] == "01 slice"
    listed = [{"file": "01-slice.png", "kind": "slice", "caption": "Axial, slice 2."}]
    (folder / "pictures.json").write_text(json.dumps(listed))
    (shown,) = client.get(f"/api/v1/studies/{key}/pictures").json()
    assert shown == {"n": 0, "kind": "slice", "caption": "Axial, slice 2.", "url": f"/api/v1/studies/{key}/pictures/0"}
    assert client.get(shown["url"]).content == b"png"
    for number in (1, -1, 10**20):
        assert client.get(f"/api/v1/studies/{key}/pictures/{number}").status_code == 404
    # Results may lie on a share that others can write to.
    (folder / "pictures.json").write_text(json.dumps([{**listed[0], "file": "../record.json"}]))
    assert client.get(f"/api/v1/studies/{key}/pictures/0").status_code == 404


def test_what_a_browser_has_is_not_sent_again(app, uploaded):
    key = uploaded().key
    client = app()
    for name in ("finding", "mask.nii.gz", "heatmap.nii.gz", "chart.svg", "finding.zip"):
        first = client.get(f"/api/v1/studies/{key}/{name}")
        assert first.headers["cache-control"] == "private, no-cache"
        again = client.get(f"/api/v1/studies/{key}/{name}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (
            client.get(f"/api/v1/studies/{key}/{name}", headers={"If-None-Match": '"other"'}).content == first.content
        )


@pytest.mark.parametrize(
    "study", ["0" * 20, "none", "..", "%2e%2e", "records", "uploads", "DOE^JANE", "a" * 5000, "\u0661" * 20]
)
def test_studies_that_are_not_on_the_list_are_not_there_whatever_they_are_called(app, uploaded, study):
    uploaded()
    client = app()
    for name in ("", "/finding", "/mask.nii.gz", "/report.html"):
        answer = client.get(f"/api/v1/studies/{study}{name}")
        assert answer.status_code == 404
        assert study not in answer.text or study == ".."


def test_damaged_and_missing_results_are_told_in_a_sentence(app, uploaded, tmp_path):
    key = uploaded().key
    client = app()
    folder = tmp_path / "results" / key
    whole = (folder / "finding.json").read_text()
    for damaged in (
        "",
        "{",
        "[]",
        "[" * 100_000,
        "{}",
        whole.replace("masks/first.nrrd", "../../../etc/passwd"),
        '{"slices": 3}',
    ):
        (folder / "finding.json").write_text(damaged)
        evidence._remembered.cache_clear()
        for name in (*ROUTES, "sheet"):
            answer = client.get(f"/api/v1/studies/{key}/{name}")
            assert answer.status_code in (200, 404), name
            if answer.status_code == 404:
                assert str(tmp_path) not in answer.text
                assert answer.json()["detail"].endswith(".")
    (folder / "finding.json").write_text(whole)
    shutil.rmtree(folder / "masks")
    evidence._remembered.cache_clear()
    assert client.get(f"/api/v1/studies/{key}/mask.nii.gz").status_code == 404
    assert client.get(f"/api/v1/studies/{key}/finding.zip").status_code == 404
    shutil.rmtree(folder)
    for name in ROUTES:
        assert client.get(f"/api/v1/studies/{key}/{name}").status_code in (200, 404), name
    assert client.get(f"/api/v1/studies/{key}").status_code == 200


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("verdict", "label"), None), (("main_label",), []), (("slice_threshold",), "x"), (("ijk_to_ras",), [[1]]),
        (("positive_runs",), [[0, 99]]), (("slices", 0, "probabilities"), [[1]]), (("slices", 0, "position_ras"), None),
        (("masks", 1, "file"), "heatmap.nrrd"), (("masks",), {"file": 1}), (("model",), 3), (("heatmap",), [1]),
    ],
)  # fmt: skip
def test_a_finding_of_which_a_part_says_something_else_is_told_in_a_sentence(app, uploaded, tmp_path, place, value):
    key = uploaded().key
    client = app()
    file = tmp_path / "results" / key / "finding.json"
    data = json.loads(file.read_text())
    *way, last = place
    part = data
    for step in way:
        part = part[step]
    part[last] = value
    file.write_text(json.dumps(data))
    evidence._remembered.cache_clear()
    answers = {name: client.get(f"/api/v1/studies/{key}/{name}") for name in (*ROUTES, "sheet")}
    assert {answer.status_code for answer in answers.values()} == {200, 404}
    for answer in answers.values():
        assert answer.status_code == 200 or answer.json()["detail"].endswith(".")


def test_results_that_are_removed_while_they_are_sent_arrive_whole(app, uploaded, tmp_path):
    key = uploaded().key
    client = app()
    content = bytes(range(256)) * 40_000
    (tmp_path / "results" / key / "volume.nii.gz").write_bytes(content)
    with client.stream("GET", f"/api/v1/studies/{key}/volume.nii.gz") as sent:
        shutil.rmtree(tmp_path / "results" / key)
        assert b"".join(sent.iter_raw()) == content


def test_an_uploaded_study_is_removed_with_its_answers_and_what_others_put_there_stays(app, uploaded, tmp_path):
    first, other = uploaded("first").key, uploaded("other").key
    client = app()
    for key in (first, other):
        assert client.post(f"/api/v1/studies/{key}/answer", json={"answer": "agree"}).status_code == 204
    notes = tmp_path / "results" / first / "notes.txt"
    notes.write_text("mine")
    assert client.delete(f"/api/v1/studies/{first}").status_code == 204
    assert client.get(f"/api/v1/studies/{first}").status_code == 404
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
    assert client.delete(f"/api/v1/studies/{first}").status_code == 404
    assert [item["id"] for item in client.get("/api/v1/studies").json()["studies"]] == [other]
    store = Store(tmp_path / "results")
    assert store.rebuild() == 1
    assert [said.key for said in store.answers()] == [other]
    store.close()


def test_a_removal_that_was_cut_short_can_be_repeated_and_a_full_disk_does_not_hinder_it(
    app, uploaded, tmp_path, monkeypatch
):
    key = uploaded().key
    client = app()

    def away(*_given):
        raise WorklistError("The database is away.")

    def full(*_given):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "forget", away)
        assert client.delete(f"/api/v1/studies/{key}").status_code == 503
    monkeypatch.setattr(ResultsFolder, "write", full)
    assert client.delete(f"/api/v1/studies/{key}").status_code == 204
    assert client.get("/api/v1/studies").json()["total"] == 0
    assert list((tmp_path / "results" / "records").glob("*.json")) == []
    assert not (tmp_path / "results" / key).exists()


def test_what_a_batch_read_is_not_removed(app, uploaded):
    key = uploaded(origin="").key
    client = app()
    assert client.delete(f"/api/v1/studies/{key}").status_code == 403
    assert client.get(f"/api/v1/studies/{key}/finding").status_code == 200


def test_a_study_that_is_being_read_is_not_removed(app, uploaded, tmp_path):
    key = uploaded().key
    client = app()
    store = Store(tmp_path / "results")
    with store.folder.alone(key):
        assert client.delete(f"/api/v1/studies/{key}").status_code == 409
    store.close()
    assert client.delete(f"/api/v1/studies/{key}").status_code == 204


@pytest.mark.parametrize(
    "body", [{"answer": "yes"}, {}, [], "agree", {"answer": "agree", "note": "x" * 3000}, {"answer": ["agree"]}]
)
def test_answers_that_are_none_are_refused(app, uploaded, body):
    answer = app().post(f"/api/v1/studies/{uploaded().key}/answer", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_uploads_expire_and_what_a_batch_read_or_a_later_job_names_stays(uploaded, tmp_path):
    expired, batch, again = uploaded("expired").key, uploaded("batch", origin="").key, uploaded("again").key
    results = tmp_path / "results"
    files = JobFiles(results)
    board = Board(files)
    old, young = files.new("auto", None, 1.0), files.new("auto", None, 1.0)
    later = datetime.now(UTC) + timedelta(days=1.5)
    for job, finished, study in ((old, now(), expired), (young, later.isoformat(), again)):
        board.add(job)
        board.end(job.id, state="done", finished=finished, studies=(study,))
    store = Store(results)
    expiry = Expiry(board, store, keep_days=1.0)
    expiry.look(datetime.now(UTC) + timedelta(days=0.9))
    assert {item.key for item in store.items()} == {expired, batch, again}
    expiry.look(later)
    assert {item.key for item in store.items()} == {batch, again}
    assert not (results / expired).exists()
    assert [job.id for job in board.all()] == [young.id]
    expiry.look(later + timedelta(days=2))
    assert {item.key for item in store.items()} == {batch}
    assert (results / batch / "finding.json").is_file()
    store.close()


def test_what_a_stopped_job_had_begun_to_write_goes_after_a_day(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    keys = [store.folder.key_of_upload("hemorrhage", content, "") for content in "abc"]
    left = [tmp_path / "results" / f".0123abcd.partial.{key}" for key in keys]
    for folder in left:
        folder.mkdir()
        (folder / "volume.nii.gz").write_bytes(b"images")
    mine = tmp_path / "results" / ".mine.partial"
    mine.mkdir()
    expiry = Expiry(Board(JobFiles(tmp_path / "results")), store, keep_days=0.0)
    expiry.clear_away()
    assert all(folder.exists() for folder in left)
    monkeypatch.setattr(results_folder, "idle_seconds", lambda _folder: 25 * 3600.0)
    with store.folder.alone(keys[0]):
        expiry.clear_away()
    assert [folder.exists() for folder in (*left, mine)] == [True, False, False, True]
    store.close()


def test_a_job_that_waits_does_not_expire(tmp_path):
    files = JobFiles(tmp_path / "results")
    board = Board(files)
    job = files.new("auto", None, 1.0)
    board.add(job)
    store = Store(tmp_path / "results")
    Expiry(board, store, keep_days=1.0).look(datetime.now(UTC) + timedelta(days=90))
    store.close()
    assert job.id in board


def test_keys_of_uploads_depend_on_content_and_wishes_not_on_the_uid_in_a_file(tmp_path):
    store = Store(tmp_path / "results")
    keys = {
        store.folder.key_of_upload("hemorrhage", content, asked) for content in ("a", "b") for asked in ("m=1", "m=2")
    }
    assert len(keys) == 4
    store.close()


@pytest.mark.parametrize(
    "said",
    [
        "--out {results}/0123456789abcdef0123: the results could not be written (No space left on device).",
        "There is not enough room in {temporary} to unpack the study.",
        "The copy of the study in {results}/uploads/abc/files/00001.zip cannot be read.",
    ],
)
def test_sentences_name_no_place_of_this_computer(said, tmp_path):
    results = tmp_path / "results"
    store = Store(results)
    runner = Runner(ServeSettings(results), Board(JobFiles(results)), store, LocalEngine())
    told = runner._without_place(said.format(results=results, temporary=tempfile.gettempdir()))
    store.close()
    assert "/" not in told
    assert "server's folder" in told
    assert told[0].isupper()


@pytest.mark.parametrize("home", ["/", "/srv/readers"])
def test_sentences_keep_their_slashes_where_an_account_has_the_root_as_its_home(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", home)
    results, models = tmp_path / "results", Path("/opt/models")
    store = Store(results)
    settings = ServeSettings(results, model_folders=(models,))
    runner = Runner(settings, Board(JobFiles(results)), store, LocalEngine())
    said = "Slices 3/4 and 5/6 differ."
    assert runner._without_place(said) == said
    assert runner._without_place(f"The model in {models}/mine is damaged.") == (
        "The model in the server's folder is damaged."
    )
    store.close()
