"""What results need is loaded while the network runs, and only for studies that are run."""

import subprocess
import sys
from pathlib import Path

import pytest

from AcuteFindingsLib.errors import StudyRefusedError
from AcuteFindingsLib.jobs.preparation import Preparation
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study

CODE = """
import sys
from AcuteFindingsLib.jobs.preparation import Preparation
preparation = Preparation()
preparation.start()
preparation.wait()
before = set(sys.modules)
from AcuteFindingsLib.jobs.write_results import write_results
import AcuteFindingsLib.export.report, AcuteFindingsLib.pages.charts, matplotlib.backends.backend_svg
try:
    import slicer, vtk
except ImportError:
    pass
print(sorted(name for name in set(sys.modules) - before if name.startswith(("matplotlib", "slicer", "vtk", "jinja2"))))
"""


def test_what_writing_needs_is_loaded_when_it_begins() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_waiting_for_what_was_not_begun_returns() -> None:
    Preparation().wait()


def test_nothing_is_loaded_for_a_study_that_is_refused(
    head_ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    monkeypatch.setattr(Preparation, "start", lambda self: begun.append(self))
    with pytest.raises(StudyRefusedError):
        run_study(StudyRequest(head_ct, tmp_path / "out", "pneumothorax"))
    assert begun == []
