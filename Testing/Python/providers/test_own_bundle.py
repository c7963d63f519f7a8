"""MONAI bundles of the user's own: what is refused before anything runs, and MONAI's networks with random weights."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks import nets

from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import ModelError, ProviderError
from AcuteFindingsLib.providers.install import python_of
from AcuteFindingsLib.providers.own_networks.add import add_own_network
from AcuteFindingsLib.providers.own_networks.bundle_folder import read_bundle_folder
from AcuteFindingsLib.providers.own_networks.detector import load_own_network
from AcuteFindingsLib.providers.own_process import CHILDREN
from AcuteFindingsLib.providers.registry import find_terms

SEGRESNET = {
    "_target_": "SegResNet",
    "spatial_dims": 3,
    "init_filters": 8,
    "in_channels": 1,
    "out_channels": 2,
    "blocks_down": [1, 1],
    "blocks_up": [1],
}
DYNUNET = {
    "_target_": "DynUNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, 2],
    "upsample_kernel_size": [2, 2],
    "filters": [4, 8, 8],
}
SWIN = {
    "_target_": "SwinUNETR",
    "img_size": [32, 32, 32],
    "in_channels": 1,
    "out_channels": 2,
    "feature_size": 12,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 2],
}
WINDOW = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1}


def configuration(network: dict, **changes) -> dict:
    return {
        "pixdim": [1.0, 1.0, 2.0],
        "network_def": network,
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": ["image"], "pixdim": "@pixdim", "mode": ["bilinear"]},
                {**WINDOW, "clip": True},
                {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
            ],
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "overlap": 0.5, "mode": "gaussian"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}],
        },
        "evaluator": {"_target_": "SupervisedEvaluator", "run": "$__import__('os').system('true')"},
        **changes,
    }


@pytest.fixture
def bundle(tmp_path):
    """Write a bundle with random weights: `bundle(network, **changes)` returns folder and network."""

    def make(network: dict, *, weights: bool = True, **changes) -> tuple[Path, torch.nn.Module | None]:
        folder = tmp_path / "bundle"
        (folder / "configs").mkdir(parents=True)
        (folder / "models").mkdir()
        (folder / "configs" / "inference.json").write_text(json.dumps(configuration(network, **changes)))
        channels = {"channel_def": {"0": "background", "1": "bleed"}}
        metadata = {"network_data_format": {"outputs": {"pred": channels}}}
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        built = None
        if weights:
            torch.manual_seed(0)
            arguments = {key: value for key, value in network.items() if key not in ("_target_", "img_size")}
            built = getattr(nets, network["_target_"])(**arguments).eval()
            torch.save({"state_dict": built.state_dict(), "epoch": 3}, folder / "models" / "model.pt")
        else:
            (folder / "models" / "model.pt").write_bytes(b"weights")
        return folder, built

    return make


def test_network_transforms_tile_and_head_are_read_as_data(bundle) -> None:
    folder, _ = bundle(SWIN, weights=False)
    read = read_bundle_folder(folder)
    assert read.program["target"] == "SwinUNETR"
    assert "img_size" not in read.program["arguments"]
    assert [step["name"] for step in read.program["transforms"]] == ["Orientation", "Spacing", "ScaleIntensityRange"]
    assert read.program["transforms"][1]["arguments"] == {"pixdim": [1.0, 1.0, 2.0], "mode": "bilinear"}
    tile = {key: read.program[key] for key in ("roi", "overlap", "blend", "padding")}
    assert tile == {"roi": [32, 32, 32], "overlap": 0.5, "blend": "gaussian", "padding": "constant"}
    assert (read.drawn, read.program["classes"], read.program["exclusive"]) == ("bleed", [1], True)


def test_one_output_is_asked_for_by_itself(bundle) -> None:
    folder, _ = bundle({**SEGRESNET, "out_channels": 1}, weights=False, postprocessing=None)
    read = read_bundle_folder(folder)
    assert (read.program["classes"], read.program["exclusive"]) == ([0], False)


def test_head_tile_and_label_can_be_said_where_the_bundle_does_not(bundle) -> None:
    folder, _ = bundle({**SEGRESNET, "out_channels": 3}, weights=False, postprocessing=None, inferer=None)
    with pytest.raises(ProviderError, match="--head softmax"):
        read_bundle_folder(folder)
    with pytest.raises(ProviderError, match=r"draws bleed \(1\), class 2 \(2\); say .*--label"):
        read_bundle_folder(folder, head="softmax")
    with pytest.raises(ProviderError, match="--roi"):
        read_bundle_folder(folder, head="softmax", labels=["2"])
    program = read_bundle_folder(folder, head="sigmoid", labels=["background", "2"], roi=[64, 64, 32]).program
    assert (program["classes"], program["exclusive"], program["roi"]) == ([0, 2], False, [64, 64, 32])


@pytest.mark.parametrize(
    ("network", "changes", "told"),
    [
        ({**SEGRESNET, "_target_": "mine.Network"}, {}, "custom code"),
        ({**SEGRESNET, "_target_": "ViT"}, {}, "its network is 'ViT'"),
        ({**SEGRESNET, "in_channels": "$2 - 1"}, {}, "which would run code"),
        ({**SEGRESNET, "in_channels": 4}, {}, "4 images of a patient"),
        ({**SEGRESNET, "spatial_dims": 2}, {}, "--as monai-bundle"),
        ({**SEGRESNET, "init_filters": 10**9}, {}, "must be a number within"),
        ({**SEGRESNET, "strange": 1}, {}, "is not built with 'strange'"),
        (SEGRESNET, {"preprocessing": "$@steps"}, "does not list its preprocessing as data"),
        (SEGRESNET, {"preprocessing": None}, "does not say how its images are prepared"),
        (
            SEGRESNET,
            {"preprocessing": [{"_target_": "Lambdad", "func": "$print"}]},
            "prepares its images with 'Lambdad'",
        ),
        (SEGRESNET, {"preprocessing": [{**WINDOW, "a_min": "$open('x')"}]}, "which would run code"),
        (SEGRESNET, {"inferer": {"_target_": "mine.Inferer"}}, "runs its network with 'Inferer'"),
        (
            SEGRESNET,
            {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "overlap": 1}},
            "overlap",
        ),
    ],
)
def test_what_would_run_code_or_is_not_understood_is_refused(bundle, network, changes, told) -> None:
    folder, _ = bundle(network, weights=False, **changes)
    with pytest.raises((ProviderError, ModelError), match=told):
        read_bundle_folder(folder)


@pytest.fixture
def program(monkeypatch):
    """The program that runs bundles, in this process."""
    monkeypatch.syspath_prepend(str(CHILDREN))
    import run_monai_bundle

    yield run_monai_bundle
    sys.modules.pop("run_monai_bundle")
    sys.modules.pop("child_tools")


@pytest.mark.parametrize("network", [SEGRESNET, DYNUNET], ids=["SegResNet", "DynUNet"])
def test_networks_answer_as_they_do_by_themselves_tile_by_tile(bundle, program, tmp_path, network) -> None:
    step = [{**WINDOW, "clip": True}]
    tile = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5}
    folder, built = bundle(network, preprocessing=step, inferer=tile)
    volume = np.random.default_rng(1).normal(50, 100, (16, 16, 24)).astype(np.float32)
    np.save(tmp_path / "input.npy", volume)
    request = {
        **read_bundle_folder(folder).program,
        "do": "run",
        "folder": str(folder),
        "input": str(tmp_path / "input.npy"),
        "affine": np.diag([-1.0, -1.0, 2.0, 1.0]).tolist(),
    }
    told = []
    result = program.work(request, tmp_path, lambda text, share: told.append(text))
    shown = torch.from_numpy(np.clip((volume + 100) / 400, 0, 1)).permute(2, 1, 0)[None, None]
    expected, weight = torch.zeros(24, 16, 16), torch.zeros(24, 1, 1)
    with torch.inference_mode():
        for start in (0, 8):
            part = slice(start, start + 16)
            expected[part] += torch.softmax(built(shown[:, :, part]), dim=1)[0, 1]
            weight[part] += 1
    answer = np.load(tmp_path / result["probability"])
    np.testing.assert_allclose(answer, (expected / weight).permute(2, 1, 0).numpy(), atol=1e-4)
    assert [text for text in told if "tile" in text] == ["MONAI: tile 1 of 2", "MONAI: tile 2 of 2"]


def test_weights_that_do_not_fit_are_refused(bundle, program, tmp_path) -> None:
    folder, _ = bundle(DYNUNET)
    request = {**read_bundle_folder(folder).program, "do": "check", "folder": str(folder)}
    with pytest.raises(program.ChildError, match="do not fit"):
        program.work(
            {**request, "arguments": {**request["arguments"], "filters": [8, 8, 8]}}, tmp_path, lambda *_: None
        )
    with pytest.raises(program.ChildError, match="more than 0 million weights"):
        program.work({**request, "values": 100}, tmp_path, lambda *_: None)


def test_weights_that_would_run_code_are_refused(bundle, program, tmp_path) -> None:
    folder, _ = bundle(DYNUNET)
    torch.save({"trap": tmp_path.joinpath}, folder / "models" / "model.pt")
    request = {**read_bundle_folder(folder).program, "do": "check", "folder": str(folder)}
    with pytest.raises(program.ChildError, match="would run code"):
        program.work(request, tmp_path, lambda *_: None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_head_ct_is_turned_resampled_and_put_back_by_a_process_of_its_own(
    bundle, apart, make_ct, monkeypatch
) -> None:
    from monai.networks.nets import swin_unetr

    tile = {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 64]}
    folder, built = bundle(SWIN, inferer=tile)
    terms = add_own_network(folder, form="monai-bundle-3d", name="my-bleeds", task="hemorrhage")
    python = python_of(find_terms("totalsegmentator"), folder=apart)
    detector = load_own_network(
        terms, find_kind("hemorrhage"), python=python, device="cpu", environment={"OMP_NUM_THREADS": "1"}
    )
    # The bundle asks for 1 x 1 x 2 mm, which the study has; only the directions differ.
    volume = np.random.default_rng(2).normal(50, 100, (64, 32, 32)).astype(np.float32).round()
    finding = detector.run(make_ct(volume, spacing=(2.0, 1.0, 1.0)))

    def rearrange(array, pattern):
        before, after = (side.split() for side in pattern.split(" -> "))
        return array.permute([before.index(axis) for axis in after])

    monkeypatch.setattr(swin_unetr, "rearrange", rearrange)
    turned = np.flip(np.clip((volume + 100) / 400, 0, 1), (1, 2)).transpose(2, 1, 0).copy()
    with torch.inference_mode():
        answer = torch.softmax(built(torch.from_numpy(turned)[None, None]), dim=1)[0, 1].numpy()
    expected = np.flip(answer.transpose(2, 1, 0), (1, 2))
    levels = [item.probabilities[finding.main_label] for item in finding.slices]
    np.testing.assert_allclose(levels, expected.max(axis=(1, 2)), atol=1e-3)
    sure = np.abs(expected - 0.5) > 1e-3
    assert np.array_equal(finding.masks[0].array[sure] > 0, (expected > 0.5)[sure])
    assert finding.model.id == "my-bleeds"


def test_an_answer_on_another_grid_lands_where_it_belongs(program, bundle, tmp_path) -> None:
    # A network that answers with what it is shown: a bright ball stays where it is through a coarser grid and a crop.
    folder, _ = bundle(DYNUNET, preprocessing=[{**WINDOW, "clip": True}])
    z, y, x = np.mgrid[:24, :32, :40]
    ball = ((z - 9) * 2) ** 2 + (y - 20) ** 2 + (x - 12) ** 2 < 49
    np.save(tmp_path / "input.npy", np.where(ball, 300, -100).astype(np.float32))
    request = {
        **read_bundle_folder(folder).program,
        "transforms": [
            {"name": "ScaleIntensityRange", "arguments": {"a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1}},
            {"name": "Resize", "arguments": {"spatial_size": [30, 24, 20], "mode": "trilinear"}},
            {"name": "CropForeground", "arguments": {"margin": 1}},
        ],
        "input": str(tmp_path / "input.npy"),
        "affine": [[-1.0, 0, 0, 30], [0, -1.0, 0, 20], [0, 0, 2.0, 5], [0, 0, 0, 1]],
        "roi": [16, 16, 16],
        "exclusive": False,
        "classes": [0],
    }
    name = program.segment(request, lambda patch: 12 * (patch - 0.5), tmp_path, lambda *_: None)
    drawn = np.load(tmp_path / name) > 0.5
    assert 2 * (drawn & ball).sum() / (drawn.sum() + ball.sum()) > 0.85
    center = np.argwhere(drawn).mean(axis=0)
    np.testing.assert_allclose(center, np.argwhere(ball).mean(axis=0), atol=0.35)


def test_a_network_is_shown_the_directions_it_was_trained_on_and_its_answer_is_turned_back(
    bundle, make_ct, monkeypatch
) -> None:
    from AcuteFindingsLib.providers.own_networks import detector as own

    folder, _ = bundle(DYNUNET, weights=False)
    terms = add_own_network(
        folder, form="monai-bundle-3d", name="my-pe", task="pe", labels=["bleed"], orientation="RAI"
    )
    seen = {}

    def run_child(_script, request, place, **_how):
        if request["do"] == "run":
            shown = np.load(request["input"])
            seen["affine"], seen["first"] = np.array(request["affine"]), shown[0, 0, 0]
            np.save(place / "p.npy", (shown > 100).astype(np.float32))
        return {"version": "1", "probability": "p.npy"}

    monkeypatch.setattr(own, "run_child", run_child)
    volume = np.zeros((4, 5, 6), np.float32)
    volume[3, 4, 5] = 200
    study = make_ct(volume)
    finding = load_own_network(terms, find_kind("pe"), python=Path("python"), device="cpu").run(study)
    # The last voxel of a study that runs to the left, back and head is the first one of the turned volume.
    assert seen["first"] == 200
    np.testing.assert_allclose(seen["affine"] @ (0, 0, 0, 1), study.ijk_to_ras @ (5, 4, 3, 1))
    assert np.array_equal(np.sign(np.diag(seen["affine"])[:3]), [1, 1, -1])
    assert np.array_equal(finding.masks[0].array > 0, volume > 100)
