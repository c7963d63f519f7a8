"""nnU-Net folders of the user's own: what is refused before anything runs, and the real package with random weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CancelledError, ModelError, ProviderError
from AcuteFindingsLib.providers.install import python_of
from AcuteFindingsLib.providers.own_networks.add import add_own_network
from AcuteFindingsLib.providers.own_networks.detector import load_own_network
from AcuteFindingsLib.providers.own_networks.nnunet_folder import read_nnunet_folder
from AcuteFindingsLib.providers.own_process import CHILDREN

TOOLS = Path(__file__).resolve().parents[2] / "Providers"
TRAINED = "nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def trained(tmp_path) -> Path:
    """A folder that says what a trained nnU-Net says; its weights are never opened."""
    sys.path.insert(0, str(TOOLS))
    try:
        from tiny_plans import plans_of
    finally:
        sys.path.remove(str(TOOLS))
    folder = tmp_path / TRAINED
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans_of("Tiny")))
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "vessel": 1, "embolus": 2}}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    return folder


def change(file: Path, path: str, value) -> None:
    data = json.loads(file.read_text())
    *way, last = path.split("/")
    inner = data
    for key in way:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(data))


def test_the_folder_above_a_trained_network_is_the_same_network(trained) -> None:
    read = read_nnunet_folder(trained.parent, labels=["embolus"])
    assert (read.inside, read.drawn, read.program["classes"], read.program["exclusive"]) == (
        TRAINED,
        "embolus",
        [2],
        True,
    )
    assert read.files == ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"]


def test_which_label_is_meant_has_to_be_said_where_there_are_several(trained) -> None:
    with pytest.raises(ProviderError, match=r"draws vessel \(1\), embolus \(2\); say .*--label"):
        read_nnunet_folder(trained)
    with pytest.raises(ProviderError, match="does not draw 'clot'"):
        read_nnunet_folder(trained, labels=["clot"])
    assert read_nnunet_folder(trained, labels=["1", "Embolus"]).program["classes"] == [1, 2]


def test_the_number_of_an_output_is_its_place_among_the_labels(trained) -> None:
    change(trained / "dataset.json", "labels", {"background": 0, "bleed": 7, "ignore": 8, "edema": 3})
    assert read_nnunet_folder(trained, labels=["bleed"]).program["classes"] == [2]
    change(trained / "dataset.json", "labels", {"background": 0, "all": [1, 2], "core": [2]})
    read = read_nnunet_folder(trained, labels=["core"])
    assert (read.program["classes"], read.program["exclusive"]) == ([1], False)


ARCHITECTURE = "configurations/3d_fullres/architecture"


@pytest.mark.parametrize(
    ("file", "path", "value", "told"),
    [
        ("plans", f"{ARCHITECTURE}/network_class_name", "os.system", "its network is 'os.system'"),
        ("plans", f"{ARCHITECTURE}/arch_kwargs/conv_op", "subprocess.Popen", "would import 'subprocess.Popen'"),
        ("plans", f"{ARCHITECTURE}/arch_kwargs/norm_op", "torch.nn.x;import os", "would import"),
        ("plans", f"{ARCHITECTURE}/_kw_requires_import", "conv_op", "does not say how its network is built"),
        ("plans", "image_reader_writer", "NaturalImage2DIO", "reads its images with 'NaturalImage2DIO'"),
        ("plans", "label_manager", "Other", "treats its labels with 'Other'"),
        ("plans", "configurations", {}, "no configurations"),
        ("dataset", "channel_names", {"0": "CT", "1": "PET"}, "2 images of a patient"),
        ("dataset", "channel_names", {"0": "FLAIR"}, "'FLAIR', not CT"),
        ("dataset", "labels", {"embolus": 1}, "does not name its labels"),
        ("dataset", "labels", {"background": 0, "embolus": "one"}, "no number"),
    ],
)
def test_what_would_import_other_code_or_needs_other_images_is_refused(trained, file, path, value, told) -> None:
    change(trained / f"{file}.json", path, value)
    with pytest.raises(ProviderError, match=told):
        read_nnunet_folder(trained, labels=["embolus"])


def test_arguments_beyond_any_network_are_refused(trained) -> None:
    change(trained / "plans.json", f"{ARCHITECTURE}/arch_kwargs/features_per_stage", [4, 10**9])
    with pytest.raises(ModelError, match="must be a number within"):
        read_nnunet_folder(trained, labels=["embolus"])


def test_folders_that_are_no_trained_network_say_what_is_missing(trained, tmp_path) -> None:
    with pytest.raises(ProviderError, match="There is no folder"):
        read_nnunet_folder(tmp_path / "elsewhere")
    (trained / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(ProviderError, match=r"no weights: checkpoint_final.pth"):
        read_nnunet_folder(trained, labels=["embolus"])
    (trained / "plans.json").rename(trained / "plans.pkl")
    with pytest.raises(ProviderError, match="of nnU-Net 1"):
        read_nnunet_folder(trained)
    (trained / "plans.pkl").unlink()
    with pytest.raises(ProviderError, match="not a trained nnU-Net"):
        read_nnunet_folder(trained)


# Each process that imports nnU-Net takes seconds of processor time, minutes on a busy computer.
@pytest.fixture(scope="module")
def real(apart, tmp_path_factory) -> Path:
    """A random nnU-Net of two folds with what it answers, composed independently of nnU-Net."""
    from AcuteFindingsLib.providers.registry import find_terms

    folder = tmp_path_factory.mktemp("nnunet")
    np.save(folder / "volume.npy", noise())
    python = python_of(find_terms("totalsegmentator"), folder=apart)
    made = [python, TOOLS / "make_tiny_nnunet.py", folder / "network", folder / "volume.npy"]
    subprocess.run(made, check=True, capture_output=True)
    return folder / "network"


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(-200, 400, (16, 16, 16)).astype(np.float32)


@pytest.fixture
def load(real, apart):
    """Add the network and load its detector: `load("NibabelIO")`."""

    def make(reader: str):
        change(real / TRAINED / "plans.json", "image_reader_writer", reader)
        terms = add_own_network(real, form="nnunet", name="my-pe", task="pe", labels=["embolus"])
        python = python_of(terms, folder=apart)
        return load_own_network(
            terms, find_kind("pe"), python=python, device="cpu", environment={"OMP_NUM_THREADS": "1"}
        )

    return make


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("reader", "answer"), [("SimpleITKIO", "expected"), ("NibabelIOWithReorient", "turned")])
def test_the_real_package_answers_as_its_networks_do_by_themselves(load, real, make_ct, reader, answer) -> None:
    told = []
    # The study runs from the head to the feet; the network is shown it the other way round.
    study = make_ct(noise()[::-1], spacing=(3.0, 3.0, 3.0), flip_z=True)
    finding = load(reader).run(study, progress=lambda text, share: told.append((text, share)))
    expected = np.load(real / f"{answer}.npy")[2][::-1]
    levels = [item.probabilities[finding.main_label] for item in finding.slices]
    # nnU-Net adds tiles in half precision, and in a tile's corners its weights are next to nothing.
    off = np.abs(levels - expected.max(axis=(1, 2)))
    assert np.median(off) < 2e-3
    assert off.max() < 0.05
    sure = np.abs(expected - 0.5) > 5e-3
    assert np.mean((finding.masks[0].array > 0)[sure] != (expected > 0.5)[sure]) < 2e-3
    assert 0 < finding.masks[0].array.mean() < 1
    assert ("nnU-Net: tile 2 of 2", pytest.approx(0.9)) in told
    assert told[-1] == ("nnU-Net is done", 1.0)
    assert finding.model.id == "my-pe"
    assert {"own-network", "operating-point-not-calibrated"} <= {notice.code for notice in finding.warnings}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cancel_ends_the_process(load, make_ct) -> None:
    with pytest.raises(CancelledError):
        load("NibabelIO").run(make_ct(noise(), spacing=(3.0, 3.0, 3.0)), cancelled=lambda: True)


def test_weights_that_are_not_those_that_were_added_are_not_run(trained) -> None:
    terms = add_own_network(trained, form="nnunet", name="my-pe", task="pe", labels=["embolus"])
    (trained / "fold_0" / "checkpoint_final.pth").write_bytes(b"others")
    with pytest.raises(ProviderError, match="not the file that was added"):
        load_own_network(terms, find_kind("pe"), python=Path("python"), device="cpu")
    (trained / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(ProviderError, match=r"cannot be read .*put the folder back"):
        load_own_network(terms, find_kind("pe"), python=Path("python"), device="cpu")


def test_what_the_other_turning_reader_did_is_undone_and_memory_is_foreseen(monkeypatch) -> None:
    import SimpleITK as sitk

    monkeypatch.syspath_prepend(str(CHILDREN))
    import run_nnunet

    array = noise()[:4, :5, :6]
    image = sitk.GetImageFromArray(array)
    turned = sitk.DICOMOrient(image, "RAS")
    assert not np.array_equal(sitk.GetArrayFromImage(turned), array)
    known = {"direction": turned.GetDirection(), "original_orientation": "LPS"}
    back = run_nnunet.on_input_grid(sitk.GetArrayFromImage(turned), {"sitk_stuff": known})
    # 400 slices of a CTPA for two outputs.
    needed = run_nnunet.memory_needed((400, 512, 512), (1.0, 0.74, 0.74), (1.0, 0.74, 0.74), 2)
    sys.modules.pop("run_nnunet")
    sys.modules.pop("child_tools")
    assert np.array_equal(back, array)
    assert 5e9 < needed < 8e9
