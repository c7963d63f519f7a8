"""Nothing heavy is loaded before it is needed: library, help and worker are there at once."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "scipy", "SimpleITK", "pydicom", "pydantic", "matplotlib", "PIL", "requests", "onnxruntime", "torch")

STARTS = {
    "library": "import AcuteFindingsLib",
    "help": """
import contextlib, io
from AcuteFindingsLib.cli import app
with contextlib.redirect_stdout(io.StringIO()) as shown:
    app(["--help"], standalone_mode=False)
assert "predict" in shown.getvalue()
""",
    "worker": """
import io, json
from AcuteFindingsLib.jobs.messages import Answers
from AcuteFindingsLib.jobs.worker import Worker
answers = io.BytesIO()
worker = Worker(Answers(answers))
worker._take(json.dumps({"id": 1, "do": "ping"}).encode())
worker._answer(worker._requests.get())
assert json.loads(answers.getvalue())["event"] == "done"
""",
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_loads_nothing_heavy(name):
    code = f"{STARTS[name]}\nimport sys\nprint(sorted(set({HEAVY}) & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"
