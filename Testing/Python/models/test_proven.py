"""Files of model packages are read for their checksums once a change."""

import json
import os
from pathlib import Path

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models import files, proven
from AcuteFindingsLib.models.files import file_sha256
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.places import proven_files
from AcuteFindingsLib.resources import resource_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Give a folder of two files with their checksums; the account's cache is an empty folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("AcuteFindingsLib.places._home", lambda: tmp_path / "home")
    folder = tmp_path / "package"
    (folder / "models").mkdir(parents=True)
    (folder / "models/weights").write_bytes(b"weights")
    (folder / "LICENSE").write_bytes(b"license")
    return folder, {name: file_sha256(folder / name) for name in ("models/weights", "LICENSE")}


@pytest.fixture
def read(monkeypatch):
    """Give the names of the files that were read for their checksums."""
    names = []
    whole = files.verify_steps

    def steps(folder, checksums, *, known=()):
        names.extend(name for name in checksums if name not in known)
        return whole(folder, checksums, known=known)

    monkeypatch.setattr(files, "verify_steps", steps)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Let files that were written just now count as ones of long ago."""
    monkeypatch.setattr(proven, "_SETTLED_NS", -(10**15))


@pytest.mark.usefixtures("settled")
def test_a_package_that_has_not_changed_is_read_once(package, read):
    proven.verify_once(*package)
    assert sorted(read) == ["LICENSE", "models/weights"]
    read.clear()
    proven.verify_once(*package)
    assert read == []


@pytest.mark.usefixtures("settled")
def test_a_change_of_the_same_size_with_the_old_time_is_found(package):
    folder, checksums = package
    weights = folder / "models/weights"
    proven.verify_once(folder, checksums)
    times = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModelError, match="weights is not the file that"):
        proven.verify_once(folder, checksums)


@pytest.mark.usefixtures("settled")
def test_a_file_put_in_the_place_of_another_is_found(package):
    folder, checksums = package
    proven.verify_once(folder, checksums)
    with replace_when_written(folder / "LICENSE") as partial:
        partial.write_bytes(b"LICENSE")
    with pytest.raises(ModelError, match="LICENSE is not the file that"):
        proven.verify_once(folder, checksums)


@pytest.mark.usefixtures("settled")
def test_other_checksums_are_not_answered_from_memory(package):
    folder, checksums = package
    proven.verify_once(folder, checksums)
    with pytest.raises(ModelError, match="LICENSE is not the file that"):
        proven.verify_once(folder, checksums | {"LICENSE": "0" * 64})


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["missing", "extra"])
def test_missing_and_extra_files_are_found_although_nothing_is_read(package, change):
    folder, checksums = package
    proven.verify_once(folder, checksums)
    if change == "missing":
        (folder / "LICENSE").unlink()
    else:
        (folder / "more").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is missing|does not belong"):
        proven.verify_once(folder, checksums)


def test_a_file_changed_just_now_is_read_again(package, read):
    proven.verify_once(*package)
    read.clear()
    proven.verify_once(*package)
    assert sorted(read) == ["LICENSE", "models/weights"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"x": 1}), "[" * 100_000])
def test_a_memory_that_is_none_counts_for_nothing(package, read, text):
    proven_files().parent.mkdir(parents=True)
    proven_files().write_text(text)
    proven.verify_once(*package)
    assert sorted(read) == ["LICENSE", "models/weights"]


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_written_hinders_nothing(package, tmp_path):
    (tmp_path / "cache").write_text("a file")
    proven.verify_once(*package)
    with pytest.raises(ModelError):
        proven.verify_once(package[0], package[1] | {"LICENSE": "0" * 64})


@pytest.mark.usefixtures("settled")
def test_no_more_than_a_hundred_packages_are_remembered(package, monkeypatch):
    monkeypatch.setattr(proven, "_PACKAGES", 2)
    folder, checksums = package
    for name in "abc":
        proven.verify_once(Path(folder.rename(folder.with_name(name))), checksums)
        (folder.with_name(name)).rename(folder)
    kept = json.loads(proven_files().read_text())
    assert [Path(key).name for key in kept] == ["b", "c"]


@pytest.mark.slow
@pytest.mark.usefixtures("settled", "package")
@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_a_model_is_loaded_without_reading_again_and_verified_with(read, runtime):
    shipped = read_package(resource_path("Models") / "chest-nih14-64")
    load_predictor(shipped, device="cpu", runtime=runtime)
    assert sorted(read) == sorted(shipped.checksums)
    read.clear()
    load_predictor(shipped, device="cpu", runtime=runtime)
    assert read == []
    verify_package(shipped)
    assert sorted(read) == sorted(shipped.checksums)
