"""A detector of another package, as it meets the command line: found, left out by name, or refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KIND = """
from dataclasses import replace
from AcuteFindingsLib.detectors.registry import BUILT_IN
from AcuteFindingsLib.models.task import load_reference

ours = load_reference(BUILT_IN[2])
KIND = replace(ours, id={name!r}, task=replace(ours.task, id={name!r}), companions=(), phantoms=None)
"""


@pytest.fixture
def install(tmp_path: Path):
    """Put a package with one detector where Python finds it, as pip would."""

    def put(code: str) -> Path:
        site = tmp_path / "site"
        described = site / "strangers-1.0.dist-info"
        described.mkdir(parents=True)
        (site / "strangers.py").write_text(code, encoding="utf-8")
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", encoding="utf-8")
        (described / "entry_points.txt").write_text(
            "[acutefindings.detectors]\nstrange = strangers:KIND\n", encoding="utf-8"
        )
        return site

    return put


def acutefindings(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-c", "from AcuteFindingsLib.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
    )


def test_a_detector_of_another_package_stands_in_help_and_choices(install) -> None:
    site = install(KIND.format(name="effusion"))
    told = acutefindings(site, "check", "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "pe, hemorrhage, pneumothorax or effusion" in told.stdout
    asked = acutefindings(site, "check", "nowhere", "--detector", "effusion")
    assert "nowhere does not exist" in asked.stderr


def test_a_broken_detector_of_another_package_costs_one_line(install) -> None:
    site = install("raise RuntimeError('this package is not finished')")
    told = acutefindings(site, "check", "nowhere", "--detector", "pe")
    warned, refused = told.stderr.splitlines()
    assert "'strange'" in warned
    assert "left out: this package is not finished" in warned
    assert "nowhere does not exist" in refused


def test_a_second_detector_of_a_known_name_is_left_out_and_ours_goes_on(install) -> None:
    site = install(KIND.format(name="pe"))
    told = acutefindings(site, "check", "nowhere", "--detector", "pe")
    warned, refused = told.stderr.splitlines()
    assert "'strange'" in warned
    assert "the name 'pe' is that of AcuteFindingsLib.detectors.pe.kind:KIND" in warned
    assert "nowhere does not exist" in refused
