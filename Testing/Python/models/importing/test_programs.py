"""TorchScript and ONNX files as they are."""

import numpy as np
import pytest
import torch

from AcuteFindingsLib.detectors.importing import import_model
from AcuteFindingsLib.detectors.pe.scorer import PEScorer
from AcuteFindingsLib.detectors.radiograph_scorers import LungsScorer
from AcuteFindingsLib.detectors.registry import model_tasks
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.programs import convert_program
from AcuteFindingsLib.models.load import PredictorCache, load_predictor
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.verify import verify_package
from AcuteFindingsLib.networks import build_network

LUNGS = Options(task="lungs", tasks=model_tasks(), size=64, probabilities=False)


class Bright(torch.nn.Module):
    """A mask of what is brighter than half; `Flat` gives it as a probability."""

    def forward(self, images):
        return 20 * (images - 0.5)


class Flat(Bright):
    def forward(self, images):
        return torch.sigmoid(20 * (images - 0.5))


def to_onnx(network, example, path, names):
    torch.onnx.export(
        network.eval(),
        (example,),
        str(path),
        input_names=["images"],
        output_names=names,
        dynamic_axes={"images": {0: "n"}, **{name: {0: "n"} for name in names}},
        dynamo=False,
    )
    return path


def to_script(network, example, path, _names):
    torch.jit.trace(network.eval(), example, strict=False).save(str(path))
    return path


WRITERS = {"onnx": (to_onnx, ".onnx"), "torchscript": (to_script, ".ts")}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("flat", [False, True])
def test_a_lung_segmenter_draws_the_same_masks(tmp_path, kind, flat):
    write, ending = WRITERS[kind]
    path = write(Flat() if flat else Bright(), torch.rand(1, 1, 32, 32), tmp_path / f"lungs{ending}", ["out"])
    options = Options(task="lungs", size=32, probabilities=flat)
    package = import_model(path, architecture=kind, out=tmp_path / "lungs", options=options)
    assert package.card.origin.largest_difference < 1e-4
    assert (package.folder / package.weights).read_bytes() == path.read_bytes()
    picture = np.zeros((32, 32), np.float32)
    picture[4:20, 4:12] = picture[4:20, 18:28] = 1
    predictor = load_predictor(package, device="cpu")
    mask = LungsScorer(predictor).masks([picture])[0]
    assert (mask == (picture > 0.5)).mean() > 0.9
    assert predictor.predict(picture[None, None])["mask"].max() > 9


class Encoder(torch.nn.Module):
    def forward(self, images):
        pooled = torch.nn.functional.adaptive_avg_pool2d(images, 8).flatten(1)
        return pooled, pooled.amax(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_pe_model_of_two_files_serves_the_detector(tmp_path, kind):
    write, ending = WRITERS[kind]
    slices = write(Encoder(), torch.rand(2, 1, 32, 32), tmp_path / f"slices{ending}", ["encoding", "slice"])

    class Stack(torch.nn.Module):
        def forward(self, encodings):
            marks = encodings.mean(dim=2)
            return marks, marks.amax(dim=1, keepdim=True)

    stack = write(Stack(), torch.rand(2, 96, 64), tmp_path / f"stack{ending}", ["slice", "stack"])
    names = {"encode": ("encoding", "slice"), "sequence": ("slice", "stack")}
    options = Options(task="pe", size=32, also={"sequence": stack}, outputs=names, probabilities=False)
    package = import_model(slices, architecture=kind, out=tmp_path / "pe", options=options)
    verify_package(read_package(package.folder))
    predictor = load_predictor(package, device="cpu")
    encodings = predictor.predict(np.ones((3, 1, 32, 32), np.float32), part="encode")["encoding"]
    assert PEScorer(predictor).sequence(encodings).stack == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)
    maps = predictor.explain(np.ones((2, 1, 32, 32), np.float32), output="slice", index=0, part="encode")
    assert maps.shape == (2, 32, 32)


def test_covering_shows_where_the_answer_comes_from(tmp_path):
    class Corner(torch.nn.Module):
        def forward(self, images):
            return (images[:, 0, :8, :8].mean(dim=(1, 2)) * 8 - 4)[:, None]

    path = to_onnx(Corner(), torch.rand(1, 1, 64, 64), tmp_path / "corner.onnx", ["pathologies"])
    options = Options(task="chest", size=64, labels=("pneumothorax",))
    package = import_model(path, architecture="onnx", out=tmp_path / "corner", options=options)
    picture = np.zeros((1, 1, 64, 64), np.float32)
    picture[0, 0, :8, :8] = 1
    heat = load_predictor(package, device="cpu").explain(picture, output="pathologies", index=0)[0]
    assert heat[:8, :8].max() == heat.max()
    assert heat.max() == pytest.approx(1 / (1 + np.exp(-4)), abs=0.02)
    assert heat[32:, 32:].max() < 0.01


def test_a_network_of_ours_exported_and_imported_is_held_against_the_file(tmp_path):
    torch.manual_seed(4)
    network = build_network("lung_unet", {"channels": [4, 8]}).eval()

    class Mask(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(images)["mask"]

    path = to_onnx(Mask(), torch.rand(1, 1, 32, 32), tmp_path / "unet.onnx", ["mask"])
    package = import_model(path, architecture="onnx", out=tmp_path / "u", options=Options(task="lungs", size=32))
    batch = np.random.default_rng(0).uniform(0, 1, (2, 1, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch))["mask"].numpy()
    cache = PredictorCache()
    predictor = load_predictor(package, device="cpu", cache=cache)
    assert load_predictor(package, device="cpu", cache=cache) is predictor
    np.testing.assert_allclose(predictor.predict(batch)["mask"], expected, atol=1e-4)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_program_is_refused(tmp_path, kind):
    _, ending = WRITERS[kind]
    path = tmp_path / f"bad{ending}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=rf"bad\{ending} is no"):
        import_model(path, architecture=kind, out=tmp_path / "x", options=Options(task="lungs", size=32))
    assert not (tmp_path / "x").exists()


def test_a_program_must_be_told_its_task_and_its_outputs(tmp_path):
    path = to_onnx(Encoder(), torch.rand(1, 1, 32, 32), tmp_path / "e.onnx", ["a", "b"])
    with pytest.raises(ModelError, match="does not say what it is for: choose --task"):
        import_model(path, architecture="onnx", out=tmp_path / "x")
    with pytest.raises(ModelError, match="the file of the other with --also sequence=FILE"):
        import_model(path, architecture="onnx", out=tmp_path / "x", options=Options(task="pe"))
    with pytest.raises(ModelError, match=r"gives 2 outputs \(a, b\); the detector asks for mask"):
        import_model(path, architecture="onnx", out=tmp_path / "x", options=Options(task="lungs", size=32))


def test_a_card_cannot_name_a_program_outside_the_package(tmp_path):
    path = to_onnx(Bright(), torch.rand(1, 1, 32, 32), tmp_path / "l.onnx", ["mask"])
    package = import_model(path, architecture="onnx", out=tmp_path / "l", options=Options(task="lungs", size=32))
    card = package.folder / "configs/metadata.json"
    card.write_text(card.read_text().replace("models/model.onnx", "../secret.onnx"))
    with pytest.raises(ModelError):
        verify_package(read_package(package.folder))


class Odd(torch.nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, images):
        if self.kind == "nan":
            return images * float("nan")
        if self.kind == "half":
            return images[:, :, ::2]
        if self.kind == "empty":
            return torch.empty(0, 1, 4, 4)
        raise ValueError("\x1b[31mNEGATIVE\nfor sure")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nan", "not numbers"),
        ("half", "a mask of .* pixels for pictures of"),
        ("empty", "one row for each"),
        ("raises", "could not process a batch"),
    ],
)
def test_answers_that_no_detector_can_use_are_refused_with_what_they_are(tmp_path, kind, told):
    torch.jit.script(Odd(kind)).save(str(tmp_path / "m.ts"))
    with pytest.raises(ModelError, match=told):
        convert_program(
            tmp_path / "m.ts",
            Options(task="lungs", tasks=model_tasks(), size=64, probabilities=False),
            kind="torchscript",
        )


def test_one_name_for_two_outputs_is_refused(tmp_path):
    torch.jit.script(Odd("one")).save(str(tmp_path / "m.ts"))
    options = Options(task="chest", labels=("effusion", "effusion"))
    with pytest.raises(ModelError, match="names 'effusion' twice"):
        import_model(tmp_path / "m.ts", architecture="torchscript", out=tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_a_sigmoid_that_shows_in_the_file_is_not_taken_for_a_logit(tmp_path):
    to_onnx(Flat(), torch.rand(1, 1, 64, 64), tmp_path / "m.onnx", ["mask"])
    with pytest.raises(ModelError, match="leave --logits out"):
        convert_program(tmp_path / "m.onnx", LUNGS, kind="onnx")


class Classifier(torch.nn.Module):
    """Logits of `count` labels of pictures of `channels`; traced with `fixed`, its batch is written into it."""

    def __init__(self, channels: int, count: int, *, fixed: int = 0, flat: bool = False):
        super().__init__()
        torch.manual_seed(4)
        self.convolution = torch.nn.Conv2d(channels, count, 5)
        self.fixed, self.flat = fixed, flat

    def forward(self, images):
        logits = 4 * self.convolution(images).amax((2, 3))
        logits = logits.reshape(self.fixed, -1) if self.fixed else logits
        return logits.softmax(1) if self.flat else logits


def _written(kind, network, path, *, count=2, free=True):
    """Write a program for pictures of 48 pixels, for any number of them or for exactly `count`."""
    example = torch.rand(count, network.convolution.in_channels, 48, 48)
    if kind == "torchscript":
        torch.jit.trace(network.eval(), example).save(str(path))
        return path
    axes = {"images": {0: "n"}, "out": {0: "n"}} if free else None
    torch.onnx.export(
        network.eval(), (example,), str(path), input_names=["images"], output_names=["out"], dynamic_axes=axes,
        dynamo=False,
    )  # fmt: skip
    return path


def _said(package, gray):
    logits = load_predictor(package, device="cpu").predict(gray)["pathologies"]
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


GRAY = np.random.default_rng(2).random((3, 1, 48, 48)).astype(np.float32)
CHEST = {"task": "chest", "size": 48}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("flat", [False, True])
def test_a_channel_of_two_classes_is_their_softmax(tmp_path, kind, flat):
    network = Classifier(1, 2, flat=flat)
    path = _written(kind, network, tmp_path / f"m{WRITERS[kind][1]}")
    options = Options(**CHEST, channel=1, probabilities=flat)
    package = import_model(path, architecture=kind, out=tmp_path / "m", options=options)
    assert [label.name for label in package.card.labels] == ["pneumothorax"]
    with torch.inference_mode():
        expected = network(torch.from_numpy(GRAY))
    expected = (expected if flat else expected.softmax(1))[:, 1:].numpy()
    np.testing.assert_allclose(_said(package, GRAY), expected, atol=1e-6)


def test_logits_of_labels_that_exclude_each_other_are_their_softmax(tmp_path):
    network = Classifier(1, 3)
    path = _written("onnx", network, tmp_path / "m.onnx")
    options = Options(**CHEST, labels=("normal", "pneumothorax", "effusion"), head="softmax")
    package = import_model(path, architecture="onnx", out=tmp_path / "m", options=options)
    with torch.inference_mode():
        expected = network(torch.from_numpy(GRAY)).softmax(1).numpy()
    np.testing.assert_allclose(_said(package, GRAY), expected, atol=1e-6)
    wanted = Options(**CHEST, channel=1, probabilities=False)
    with pytest.raises(ModelError, match="--head softmax"):
        import_model(path, architecture="onnx", out=tmp_path / "n", options=wanted)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_class_of_a_mask_of_several_is_its_softmax(tmp_path, kind):
    class Two(torch.nn.Module):
        def forward(self, images):
            return torch.cat([3 - 4 * images, images, 2 * images], dim=1)

    path = WRITERS[kind][0](Two(), torch.rand(2, 1, 32, 32), tmp_path / f"m{WRITERS[kind][1]}", ["out"])
    options = {"task": "lungs", "size": 32, "probabilities": False}
    with pytest.raises(ModelError, match="draws 3 classes; say which is meant with --channel 0 to 2"):
        import_model(path, architecture=kind, out=tmp_path / "m", options=Options(**options))
    package = import_model(path, architecture=kind, out=tmp_path / "m", options=Options(**options, channel=2))
    gray = GRAY[:, :, :32, :32]
    expected = Two()(torch.from_numpy(gray)).softmax(1)[:, 2:].numpy()
    given = load_predictor(package, device="cpu").predict(gray)["mask"]
    np.testing.assert_allclose(1 / (1 + np.exp(-given)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_program_of_three_channels_is_shown_the_gray_picture_in_each(tmp_path, kind):
    network = Classifier(3, 1)
    path = _written(kind, network, tmp_path / f"m{WRITERS[kind][1]}")
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for number, (said, (mean, std)) in enumerate(
        [({}, imagenet), ({"mean": (0.5, 0.4, 0.3), "std": (0.2,) * 3}, ((0.5, 0.4, 0.3), (0.2,) * 3))]
    ):
        options = Options(**CHEST, labels=("pneumothorax",), probabilities=False, **said)
        package = import_model(path, architecture=kind, out=tmp_path / f"m{number}", options=options)
        colors = (GRAY - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
        with torch.inference_mode():
            expected = network(torch.from_numpy(colors.astype(np.float32))).sigmoid().numpy()
        np.testing.assert_allclose(_said(package, GRAY), expected, atol=1e-6)
        assert "the gray picture in each" in package.card.limitations


@pytest.mark.parametrize(("kind", "count"), [("onnx", 1), ("onnx", 2), ("torchscript", 1)])
def test_a_program_of_a_fixed_batch_is_asked_in_such_batches(tmp_path, kind, count):
    network = Classifier(1, 1, fixed=count)
    path = _written(kind, network, tmp_path / f"m{WRITERS[kind][1]}", count=count, free=False)
    options = Options(**CHEST, labels=("pneumothorax",), probabilities=False)
    package = import_model(path, architecture=kind, out=tmp_path / "m", options=options)
    network.fixed = 0
    with torch.inference_mode():
        expected = network(torch.from_numpy(GRAY)).sigmoid().numpy()
    np.testing.assert_allclose(_said(package, GRAY), expected, atol=1e-6)


def test_what_cannot_be_adapted_is_refused_with_shape_and_remedy(tmp_path):
    path = _written("torchscript", Classifier(1, 1, fixed=3), tmp_path / "m.ts", count=3)
    with pytest.raises(ModelError, match=r"48 × 48 pixels: choose the size with --size, or export it with a free"):
        import_model(path, architecture="torchscript", out=tmp_path / "m", options=Options(**CHEST))
    slices = tmp_path / "ct.onnx"
    torch.onnx.export(
        torch.nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 32, 32),), str(slices), input_names=["images"],
        output_names=["features"], dynamic_axes={"images": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    options = Options(task="hemorrhage", size=32, also={"head": slices})
    with pytest.raises(ModelError, match=r"\(n, 3, rows, columns\).*would not be told apart"):
        import_model(slices, architecture="onnx", out=tmp_path / "m", options=options)
