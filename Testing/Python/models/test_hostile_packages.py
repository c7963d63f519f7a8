"""Packages that were made to do harm: refused in a sentence before anything of them is used."""

import json
import os
import threading

import pytest

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import CHECKSUMS, METADATA
from AcuteFindingsLib.models.package import read_package

HARMFUL = [
    (("acutefindings", "id"), "providers"),
    (("acutefindings", "id"), "../../x"),
    (("acutefindings", "id"), "con"),
    (("acutefindings", "labels", 0, "name"), "=cmd|' /C calc'!A0"),
    (("acutefindings", "labels", 0, "name"), "../any"),
    (("acutefindings", "title"), "\x1b]0;owned\x07"),
    (("acutefindings", "companions"), {"lungs": "/etc"}),
    (("acutefindings", "companions"), {"__class__": "lungs-unet-small"}),
    (("acutefindings", "pictures"), [{"file": "../../secret.png", "caption": "x"}]),
    (("version",), "../../1.0"),
]


@pytest.mark.parametrize(("where", "value"), HARMFUL)
def test_a_name_that_could_lead_elsewhere_is_refused(package, where, value):
    path = package.folder / METADATA
    data = json.loads(path.read_text())
    place = data
    for part in where[:-1]:
        place = place[part]
    place[where[-1]] = value
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError, match="does not describe a model: field"):
        read_package(package.folder)


@pytest.mark.parametrize("name", [METADATA, CHECKSUMS, "docs/README.md"])
@pytest.mark.parametrize("kind", ["pipe", "link", "link-to-device", "folder"])
def test_what_is_no_plain_file_is_never_opened(package, tmp_path, name, kind):
    path = package.folder / name
    path.rename(tmp_path / "kept")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "kept" if kind == "link" else "/dev/zero")
    errors = []

    def read():
        try:
            read_package(package.folder).read_card_text()
        except ModelError as error:
            errors.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [path.name in error for error in errors] == [True]


def test_a_folder_that_is_a_link_out_of_the_package_is_refused(package, tmp_path):
    (package.folder / "configs").rename(tmp_path / "elsewhere")
    (package.folder / "configs").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ModelError, match="is a link"):
        read_package(package.folder)


def test_a_pipe_or_an_extra_file_beside_the_listed_ones_is_refused(package):
    os.mkfifo(package.folder / "pipe")
    with pytest.raises(ModelError, match="pipe or a device"):
        package.verify_files()
    (package.folder / "pipe").unlink()
    (package.folder / "bin").mkdir()
    (package.folder / "bin" / "python").write_text("#!/bin/sh")
    with pytest.raises(ModelError, match="does not belong"):
        package.verify_files()


@pytest.mark.parametrize("name", ["docs/a.", "docs/nul", "docs/.hidden", "docs/ä", "DOCS/readme.md", "docs//x", "a\n"])
def test_a_listed_name_that_some_system_reads_otherwise_is_refused(package, name):
    path = package.folder / CHECKSUMS
    path.write_text(json.dumps({**json.loads(path.read_text()), name: "0" * 64}))
    with pytest.raises(ModelError, match=r"checksums\.json lists"):
        read_package(package.folder)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" * 40 + "]" * 40, " " * (5 << 20), "9" * 10_000])
def test_deep_or_huge_metadata_is_a_sentence(package, text):
    (package.folder / METADATA).write_text(text)
    with pytest.raises(ModelError, match=r"metadata\.json"):
        read_package(package.folder)
