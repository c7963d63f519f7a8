"""Against the real package in its own environment, with tiny random nnU-Nets where it looks for its weights."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.errors import ProviderError
from AcuteFindingsLib.preprocessing.orient import to_axial
from AcuteFindingsLib.providers.install import python_of
from AcuteFindingsLib.providers.registry import find_terms
from AcuteFindingsLib.providers.totalsegmentator.bleeds import load_hemorrhage
from AcuteFindingsLib.providers.totalsegmentator.context import SEGMENTS
from AcuteFindingsLib.providers.totalsegmentator.segmenter import Segmenter

# Each process that imports nnU-Net takes seconds of processor time, minutes on a busy computer.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

TOOLS = Path(__file__).resolve().parents[2] / "Providers"

ASK = """
import inspect, json, sys
sys.path.insert(0, CHILDREN)
from run_totalsegmentator import TASKS
import totalsegmentator.python_api as api
import totalsegmentator.libs as libs
from totalsegmentator.registry import requires_license
from totalsegmentator.map_to_binary import class_map
known = {}
for name, task in TASKS.items():
    config = dict(api.DEFAULT_CONFIG)
    raw = api.TASK_CONFIGS[task["task"]]
    config.update(raw["sub_modes"]["fast"] if task["fast"] else raw)
    crop = [] if config["crop"] is None else [297 if config["robust_crop"] else 298]
    known[name] = {
        "needs": [*crop, config["task_id"]],
        "we fetch": list(task["weights"]),
        "license": requires_license(task["task"]),
        "structures": sorted(class_map[task["task"]].values()),
    }
print(json.dumps({
    "parameters": list(inspect.signature(api.totalsegmentator).parameters),
    "tasks": known,
    "bar": hasattr(libs, "tqdm"),
    "statistics": hasattr(api, "send_usage_stats"),
}))
"""


@pytest.fixture(scope="module")
def python(apart: Path) -> Path:
    return python_of(find_terms("totalsegmentator"), folder=apart)


@pytest.fixture(scope="module")
def surroundings(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny weights for a bleed, and a `requests` that keeps what is sent instead of sending it."""
    folder = tmp_path_factory.mktemp("totalsegmentator")
    (folder / "sitecustomize.py").write_text(
        "import pathlib, requests\n"
        f"def post(url, **named): pathlib.Path({str(folder / 'sent')!r}).write_text(url)\n"
        "requests.post = post\n",
        encoding="utf-8",
    )
    results = folder / "nnunet" / "results"
    subprocess.run([python, TOOLS / "make_tiny_weights.py", results, "298", "150"], check=True, capture_output=True)
    return {"TOTALSEG_HOME_DIR": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def test_the_package_still_has_the_interface_that_is_used(python) -> None:
    from AcuteFindingsLib.providers.own_process import CHILDREN

    text = ASK.replace("CHILDREN", repr(str(CHILDREN)))
    answer = json.loads(subprocess.run([python, "-c", text], check=True, capture_output=True, text=True).stdout)
    used = {"input", "output", "ml", "task", "fast", "device", "quiet", "nr_thr_resamp", "nr_thr_saving"}
    assert used <= set(answer["parameters"])
    assert answer["bar"]
    assert answer["statistics"]
    for name, known in answer["tasks"].items():
        assert known["needs"] == known["we fetch"], name
        assert known["license"] == (name == "heartchambers_highres")
    for task, segments in SEGMENTS.items():
        assert {part for _, parts, _, _ in segments for part in parts} <= set(answer["tasks"][task]["structures"])
    assert answer["tasks"]["cerebral_bleed"]["structures"] == ["intracerebral_hemorrhage"]


def test_a_head_ct_becomes_a_finding_and_nothing_is_sent(python, surroundings, make_ct) -> None:
    array = np.random.default_rng(0).normal(30, 20, (12, 24, 28))
    array[:, :12] += 60
    detector = load_hemorrhage(Segmenter(python, "cpu", surroundings))
    finding = detector.run(make_ct(array, flip_z=True))
    (mask,) = finding.masks
    assert mask.array.shape == array.shape
    assert mask.array.any()
    assert not mask.array.all()
    assert finding.model.id == "totalsegmentator"
    assert finding.model.version.startswith("2.")
    assert len(finding.model.sha256) == 64
    assert {item.probabilities["hemorrhage"] for item in finding.slices} <= {0.0, 1.0}
    codes = {notice.code for notice in finding.warnings}
    assert {"provider-model", "operating-point-not-calibrated", "no-probabilities"} <= codes
    assert not (Path(surroundings["TOTALSEG_HOME_DIR"]) / "sent").exists()


def test_the_licensed_task_is_left_out_without_a_license(python, surroundings, make_ct) -> None:
    axial = to_axial(make_ct(np.zeros((4, 8, 8))))
    segmented = Segmenter(python, "cpu", surroundings).run(axial, ["heartchambers_highres"], {})
    assert "license" in segmented.skipped["heartchambers_highres"]
    assert segmented.masks == {}


def test_without_a_connection_the_error_says_what_to_do(python, tmp_path) -> None:
    offline = {
        "TOTALSEG_HOME_DIR": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    with pytest.raises(ProviderError, match=r"could not be fetched .*unpack them by hand"):
        Segmenter(python, "cpu", offline).prepare(["cerebral_bleed"])


def test_a_checkpoint_that_would_run_code_is_refused(python, surroundings, tmp_path, make_ct) -> None:
    import shutil

    import torch

    home = tmp_path / "home"
    shutil.copytree(Path(surroundings["TOTALSEG_HOME_DIR"]), home)
    for file in home.rglob("checkpoint_final.pth"):
        torch.save({"trap": tmp_path.joinpath, "network_weights": {}}, file)
    trapped = {**surroundings, "TOTALSEG_HOME_DIR": str(home)}
    with pytest.raises(ProviderError, match="would run code"):
        Segmenter(python, "cpu", trapped).run(
            to_axial(make_ct(np.zeros((8, 16, 16)))),
            ["cerebral_bleed"],
            {"cerebral_bleed": ["intracerebral_hemorrhage"]},
        )
