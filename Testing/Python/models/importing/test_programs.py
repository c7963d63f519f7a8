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
        if self.kind == "one":
            return images[:1]
        raise ValueError("\x1b[31mNEGATIVE\nfor sure")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nan", "not numbers"),
        ("half", "a mask of .* pixels for pictures of"),
        ("empty", "one row for each"),
        ("one", "one row for each"),
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
