"""The lines of docs/web.md, one after the other, against the server that the command starts, with the real reader."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import typer
from served import Server, start

from AcuteFindingsLib import cli
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.study.reader import read_study

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", (ROOT / "docs" / "web.md").read_text(encoding="utf-8"), re.M | re.S)
DEFAULT = "http://127.0.0.1:8080"
NAME = "DOE^JANE"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as `acutefindings serve` starts it, for another account."""
    folder = tmp_path_factory.mktemp("real")
    serve = f"import sys; sys.argv[1:] = ['serve', '--port', '0', '--results', {str(folder / 'results')!r}]"
    running = start(folder / "results", "-c", f"{serve}; from AcuteFindingsLib.cli import main; main()")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study that the page names, of a patient with a name."""
    folder = tmp_path_factory.mktemp("place")
    head = make_phantom("head-ct", 2, positive=True, matrix=128, slice_spacing=10.0)
    write_phantom(head, folder / "made")
    with zipfile.ZipFile(folder / "STUDY.zip", "w") as archive:
        for number, file in enumerate(sorted((folder / "made").rglob("*.dcm"))):
            image = pydicom.dcmread(file)
            image.PatientName = NAME
            image.save_as(file)
            archive.write(file, f"{NAME}/{number}.dcm")
    (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nmax-time = 120\n")
    return folder


def blocks(language: str, word: str) -> list[str]:
    found = [text for kind, text in BLOCKS if kind == language and word in text]
    assert found
    return found


def test_commands_of_the_page_are_understood():
    commands = [line for text in blocks("sh", "acutefindings serve") for line in text.splitlines()]
    served = [line.split()[2:] for line in commands if line.startswith("acutefindings serve")]
    assert len(served) == 2
    for arguments in served:
        command = typer.main.get_command(cli.app).commands["serve"]
        command.make_context("serve", arguments, resilient_parsing=False).close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_lines_of_the_page_run_one_after_the_other(real: Server, place: Path):
    (lines,) = blocks("sh", "curl -F")
    assert lines.count(DEFAULT) == 1
    script = lines.replace(f"{DEFAULT}/", real.address).splitlines()
    removing = [line for line in script if "DELETE" in line]
    environment = {**os.environ, "HOME": str(place), "no_proxy": "127.0.0.1"}

    def run(text: str) -> str:
        made = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=place, env=environment, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr
        return made.stdout

    said = run("\n".join(line for line in script if line not in removing))
    assert "event: job" in said
    assert NAME not in said
    finding = json.loads((place / "finding.json").read_text())
    assert finding["detector"] == "hemorrhage"
    assert len(json.loads((place / "chart.json").read_text())["slices"]) == len(finding["slices"])
    assert (place / "chart.svg").read_text().startswith("<svg")
    assert (place / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert NAME not in (place / "report.html").read_text()
    study = read_study(place / "made")
    volume = sitk.ReadImage(str(place / "volume.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), np.rint(study.array))
    mask = sitk.ReadImage(str(place / "mask.nii.gz"))
    assert mask.GetSize() == volume.GetSize()
    assert mask.GetOrigin() == pytest.approx(volume.GetOrigin(), abs=1e-3)
    assert pydicom.dcmread(place / "segmentation.dcm").Modality == "SEG"
    assert pydicom.dcmread(place / "report.dcm").Modality == "SR"
    (key,) = json.loads((place / "job.json").read_text())["studies"]
    record = json.loads((real.results / key / "record.json").read_text())
    assert record["origin"] == "upload"
    assert NAME not in json.dumps(record)
    named = [line for line in script if line.startswith(("api=", "job=", "study="))]
    run("\n".join([*named, *removing]))
    assert not (real.results / key).exists()
    assert list((real.results / "uploads").glob("*/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"PK\x03\x04 broken", b"PK\x05\x06" + bytes(18)])
def test_a_broken_zip_is_told_once_and_is_no_study(real: Server, content: bytes):
    with real.client() as client:
        job = client.post("/studies", files={"files": (f"{NAME}.zip", content)}).json()
        while (now := client.get(f"/jobs/{job['id']}").json())["state"] in ("waiting", "reading"):
            time.sleep(0.1)
        assert (now["state"], now["studies"]) == ("failed", [])
        assert now["text"].count("The study is") == 1
        assert NAME not in now["text"]
        assert client.get("/studies").json()["total"] == 0


@pytest.mark.slow
def test_python_of_the_page_runs(real: Server, place: Path):
    (text,) = blocks("python", "Client")
    assert text.count(DEFAULT) == 1
    made = subprocess.run(
        [sys.executable, "-c", text.replace(DEFAULT, real.address.rstrip("/"))],
        cwd=place, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "done Intracranial hemorrhage" in made.stdout
    printed = real.stop()
    assert real.process.returncode == 0
    assert "Intracranial hemorrhage" in printed
    assert "stopped; results are in" in printed
    assert NAME not in printed
