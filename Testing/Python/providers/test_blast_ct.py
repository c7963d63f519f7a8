"""Against the real package, with a random network where it looks for its weights."""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.errors import DetectionError, ProviderError
from AcuteFindingsLib.providers.blast_ct.detector import CLASSES, load_blast_ct

pytest.importorskip("blast_ct", reason="BLAST-CT is not installed (extra [test])")

pytestmark = pytest.mark.timeout(900)

PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from blast_ct.assets import get_config_path
    from blast_ct.read_config import get_model

    folder = tmp_path_factory.mktemp("blast")
    torch.manual_seed(3)
    network = get_model(json.loads(Path(get_config_path()).read_text(encoding="utf-8")))
    (folder / "saved_models").mkdir()
    torch.save(network.state_dict(), folder / "saved_models" / "model_1.torch_model")
    return {"BLAST_CT_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}


def test_the_package_still_has_the_interface_that_is_used() -> None:
    from blast_ct import assets, read_config
    from blast_ct.nifti.savers import CLASS_NAMES, NiftiPatchSaver
    from blast_ct.train import set_device
    from blast_ct.trainer.inference import ModelInference

    assert list(inspect.signature(ModelInference.__init__).parameters)[1:] == [
        "job_dir",
        "device",
        "model",
        "saver",
        "saved_model_path",
        "task",
    ]
    assert {"write_prob_maps", "extra_output_names"} <= set(inspect.signature(NiftiPatchSaver).parameters)
    assert list(inspect.signature(read_config.get_test_loader).parameters) == [
        "config",
        "model",
        "test_csv_path",
        "use_cuda",
    ]
    assert {"get_model_path", "get_config_path"} <= set(vars(assets))
    assert str(set_device("cpu")) == "cpu"
    theirs = {number: name for number, name, *_ in CLASSES}
    assert CLASS_NAMES == ["background", "iph", "eah", "oedema", "ivh"]
    assert [theirs[number].split()[0] for number in (1, 2, 3, 4)] == [
        "Intraparenchymal",
        "Extra-axial",
        "Perilesional",
        "Intraventricular",
    ]


@pytest.fixture(scope="module")
def finding(weights, tmp_path_factory) -> Finding:
    """What the real package says of noise that fits into one patch."""
    from AcuteFindingsLib.study.study import SourceSlice, Study

    array = np.random.default_rng(0).normal(30, 30, (12, 24, 26)).astype(np.float32)
    matrix = np.diag([-1.0, -1.0, 2.0, 1.0])
    sources = tuple(SourceSlice(k, None, 0, f"1.{k}", (0.0, 0.0, 2.0 * k), float(k), 2.0) for k in range(12))
    study = Study(array, matrix, "CT", "HU", "axial", sources, source_name="noise")
    told = []
    detector = load_blast_ct(python=PYTHON, device="cpu", environment=weights)
    result = detector.run(study, progress=lambda text, share: told.append((text, share)))
    assert told[-1] == ("BLAST-CT is done", 1.0)
    return result


@pytest.mark.slow
def test_a_head_ct_becomes_a_finding_with_the_packages_classes(finding) -> None:
    assert [mask.name for mask in finding.masks] == [name for _, name, *_ in CLASSES]
    assert all(mask.array.shape == (12, 24, 26) for mask in finding.masks)
    assert np.max(sum(mask.array.astype(int) for mask in finding.masks)) <= 1
    assert finding.masks[0].array.any() or finding.masks[1].array.any() or finding.masks[2].array.any()
    names = {item.name for item in finding.measurements}
    assert {"Hemorrhage volume", "Extra-axial hemorrhage volume", "Perilesional edema volume"} <= names


@pytest.mark.slow
def test_slices_carry_the_networks_probability_of_any_bleed(finding) -> None:
    levels = [item.probabilities["hemorrhage"] for item in finding.slices]
    assert len(levels) == 12
    assert all(0 < level < 1 for level in levels)


def test_the_finding_names_the_model_and_what_it_was_made_for(finding, weights) -> None:
    import hashlib

    file = Path(weights["BLAST_CT_CACHE_DIR"]) / "saved_models" / "model_1.torch_model"
    assert finding.model.id == "blast-ct"
    assert finding.model.version.startswith("2.")
    assert finding.model.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    codes = {notice.code for notice in finding.warnings}
    assert {"provider-model", "operating-point-not-calibrated", "made-for-trauma"} <= codes


def test_studies_without_hounsfield_units_or_with_one_slice_are_refused(weights, make_ct) -> None:
    detector = load_blast_ct(python=PYTHON, device="cpu", environment=weights)
    with pytest.raises(DetectionError, match="Hounsfield"):
        detector.run(make_ct(np.zeros((4, 8, 8)), intensity="windowed"))
    with pytest.raises(DetectionError, match="one slice"):
        detector.run(make_ct(np.zeros((1, 8, 8))))


def test_without_a_connection_the_error_says_what_to_do(tmp_path) -> None:
    offline = {"BLAST_CT_CACHE_DIR": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    with pytest.raises(ProviderError, match=r"could not be fetched .*prefetch_all"):
        load_blast_ct(python=PYTHON, device="cpu", environment=offline)
