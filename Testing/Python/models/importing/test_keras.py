"""InceptionResNetV2 and the networks of the PE source as Keras itself writes them: the same numbers after import."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch

from AcuteFindingsLib.detectors.import_proof import detector_difference
from AcuteFindingsLib.detectors.importing import import_model, recognize
from AcuteFindingsLib.detectors.pe.keras_models import (
    convert_pe,
    convert_sequence,
    convert_slices,
)
from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.importing.converted import Options
from AcuteFindingsLib.models.importing.keras_file import read_keras_file
from AcuteFindingsLib.models.importing.keras_models import convert_backbone
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.networks import build_network

TOLERANCE = 1e-4
# Keras builds three InceptionResNetV2 for the first test.
pytestmark = pytest.mark.timeout(900)


def answer(converted, batch):
    network = build_network(converted.network.name, converted.network.arguments).eval()
    network.load_state_dict(converted.state)
    with torch.inference_mode():
        return {name: value.numpy() for name, value in network(torch.from_numpy(batch)).items()}


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "layout"),
    [("gray.h5", "gray"), ("gray.weights.h5", "gray"), ("rgb.h5", "rgb"), ("rgb.keras", "rgb")],
)
def test_both_layouts_give_the_64_numbers_that_keras_gives(keras_models, answers, file, layout):
    converted = convert_slices(keras_models / file, Options())
    given = answer(converted, answers[f"{layout}_input"])
    assert np.abs(given["encoding"] - answers[f"{layout}_encoding"]).max() < TOLERANCE
    assert np.abs(sigmoid(given["slice"]) - answers[f"{layout}_slice"]).max() < TOLERANCE
    assert answers[f"{layout}_encoding"].std() > 0.1
    assert converted.network.arguments["in_channels"] == {"gray": 1, "rgb": 3}[layout]


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_names_as_keras_2_wrote_them_give_the_same(keras_models, answers, rename_as_keras_2, tmp_path, whole):
    rename_as_keras_2(keras_models / "gray.h5", tmp_path / "old.h5", whole=whole)
    given = answer(convert_slices(tmp_path / "old.h5", Options()), answers["gray_input"])
    assert np.abs(given["encoding"] - answers["gray_encoding"]).max() < TOLERANCE


@pytest.mark.slow
def test_a_backbone_that_is_one_layer_of_a_model_is_found_in_it(keras_models, answers):
    given = answer(convert_slices(keras_models / "nested.h5", Options()), answers["gray_input"])
    assert np.abs(sigmoid(given["slice"]) - answers["nested_slice"]).max() < TOLERANCE


@pytest.mark.slow
def test_the_backbone_alone_gives_keras_features(keras_models, answers):
    converted = convert_backbone(keras_models / "backbone.weights.h5", Options())
    assert converted.task == "part"
    given = answer(converted, answers["gray_input"])["features"]
    expected = answers["backbone_features"]
    assert np.abs(given - expected).max() < TOLERANCE * max(1, np.abs(expected).max())


@pytest.mark.slow
def test_a_head_is_left_out_of_a_backbone_and_told(keras_models):
    converted = convert_backbone(keras_models / "gray.h5", Options())
    assert converted.remarks[0].startswith("3 layers after it were left out (dense")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["sequence.h5", "sequence.weights.h5", "old"])
def test_the_sequence_network_gives_keras_probabilities(keras_models, answers, rename_as_keras_2, tmp_path, file):
    path = keras_models / file
    if file == "old":
        path = tmp_path / "old.h5"
        rename_as_keras_2(keras_models / "sequence.h5", path)
    converted = convert_sequence(path, Options())
    given = answer(converted, answers["sequence_input"])
    assert np.abs(sigmoid(given["slice"]) - answers["sequence_slice"][..., 0]).max() < TOLERANCE
    assert np.abs(sigmoid(given["stack"]) - answers["sequence_stack"]).max() < TOLERANCE
    assert converted.network.arguments["length"] == 96


@pytest.mark.slow
def test_the_pe_source_becomes_a_package_that_was_held_against_keras(keras_models, keras_python, answers, tmp_path):
    package = import_model(
        keras_models / "gray.h5",
        architecture="pe-source",
        out=tmp_path / "pe-turku",
        options=Options(also={"sequence": keras_models / "sequence.h5"}, size=75, source_python=keras_python),
        say=detector_difference,
    )
    origin = package.card.origin
    assert origin.compared_with == "Keras"
    assert 0 < origin.largest_difference < TOLERANCE
    assert 0 < origin.detector_difference < TOLERANCE
    assert "largest difference" in package.read_card_text()
    assert package.id == "pe-turku"
    assert package.card.task == "pe"
    predictor = load_predictor(package, device="cpu")
    encoding = predictor.predict(answers["gray_input"], part="encode")["encoding"]
    assert np.abs(encoding - answers["gray_encoding"]).max() < TOLERANCE
    stack = predictor.predict(answers["sequence_input"], part="sequence")["stack"]
    assert np.abs(sigmoid(stack) - answers["sequence_stack"]).max() < TOLERANCE
    from AcuteFindingsLib.detectors.pe.scorer import PEScorer

    scorer = PEScorer(predictor)
    assert 0 <= scorer.sequence(encoding).stack <= 1


def test_a_slice_model_without_its_sequence_model_is_refused_with_the_way_out(keras_models):
    with pytest.raises(ModelError, match=r"--also sequence=FILE"):
        convert_pe(keras_models / "gray.h5", Options())


@pytest.mark.slow
def test_other_networks_are_refused_and_say_in_what_they_differ(keras_models):
    with pytest.raises(ModelError, match=r"not a slice model of the PE source: its dense layers are 8×1"):
        convert_slices(keras_models / "other.h5", Options())
    with pytest.raises(ModelError, match=r"not InceptionResNetV2: filters of layer .* is 8, expected 32"):
        convert_backbone(keras_models / "other.h5", Options())
    with pytest.raises(ModelError, match="not a sequence model"):
        convert_sequence(keras_models / "gray.weights.h5", Options())


def edit(source, target, change):
    """Copy a small file and change it."""
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def layer_of(file, kind):
    group = file["model_weights"]
    return next(name for name in group if name.startswith(kind) and len(group[name].attrs["weight_names"]))


def weight_of(group, leaf):
    names = (n.decode() if isinstance(n, bytes) else n for n in group.attrs["weight_names"])
    return next(name for name in names if name.rsplit("/", 1)[-1].startswith(leaf))


def change_config(file, change):
    text = file.attrs["model_config"]
    config = json.loads(text.decode() if isinstance(text, bytes) else text)
    for layer in config["config"]["layers"]:
        change(layer)
    file.attrs["model_config"] = json.dumps(config)


def test_a_batch_norm_epsilon_of_its_own_is_kept_by_its_sum_with_the_variance(keras_models, tmp_path):
    def change(layer):
        if layer["class_name"] == "BatchNormalization":
            layer["config"]["epsilon"] = 0.02

    path = edit(keras_models / "sequence.h5", tmp_path / "eps.h5", lambda file: change_config(file, change))
    plain = convert_sequence(keras_models / "sequence.h5", Options()).state["norm.running_var"]
    state = convert_sequence(path, Options()).state
    torch.testing.assert_close(state["norm.running_var"], plain + 0.019)


def test_an_activation_that_computes_otherwise_is_refused(keras_models, tmp_path):
    def change(layer):
        if layer["class_name"] == "Bidirectional":
            layer["config"]["layer"]["config"]["recurrent_activation"] = "hard_sigmoid"

    path = edit(keras_models / "sequence.h5", tmp_path / "hard.h5", lambda file: change_config(file, change))
    with pytest.raises(ModelError, match="recurrent_activation of layer 'bidirectional' is hard_sigmoid, expected sig"):
        convert_sequence(path, Options())


def test_wrong_shapes_are_named(keras_models, tmp_path):
    def change(file):
        group = file["model_weights"][layer_of(file, "bidirectional")]
        name = weight_of(group, "bias")
        del group[name]
        group[name] = np.zeros(12, np.float32)

    path = edit(keras_models / "sequence.h5", tmp_path / "shape.h5", change)
    with pytest.raises(ModelError, match=r"the forward/bias of layer 'bidirectional' is 12, expected 256"):
        convert_sequence(path, Options())


def test_a_missing_layer_is_named(keras_models, tmp_path):
    def change(file):
        names = [n for n in file["model_weights"].attrs["layer_names"] if not str(n).startswith("batch_norm")]
        names = [n for n in names if b"batch_norm" not in (n if isinstance(n, bytes) else n.encode())]
        file["model_weights"].attrs["layer_names"] = names

    path = edit(keras_models / "sequence.h5", tmp_path / "missing.h5", change)
    with pytest.raises(ModelError, match="0 layers BatchNormalization where 1 belong"):
        convert_sequence(path, Options())


def test_a_truncated_file_is_refused_and_leaves_nothing(keras_models, tmp_path):
    data = (keras_models / "sequence.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"cut\.h5 is not a readable Keras file, or it is truncated"):
        import_model(tmp_path / "cut.h5", architecture="pe-sequence", out=tmp_path / "out" / "package")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_links_to_other_files_are_refused(keras_models, tmp_path):
    def change(file):
        file["model_weights"]["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")

    path = edit(keras_models / "sequence.h5", tmp_path / "link.h5", change)
    with pytest.raises(ModelError, match="'elsewhere' in it is a link"):
        convert_sequence(path, Options())


@pytest.mark.slow
def test_what_a_file_of_keras_is_shows_in_its_layers(keras_models):
    found = {name: recognize(keras_models / name) for name in ("sequence.h5", "rgb.keras", "backbone.weights.h5")}
    assert found == {
        "sequence.h5": "pe-sequence",
        "rgb.keras": "pe-slices",
        "backbone.weights.h5": "inception-resnet-v2",
    }


@pytest.mark.parametrize(
    ("kind", "told"),
    [("bomb", "times its size, which weights never do"), ("itself", "nests its groups"), ("deep", "nests its groups")],
)
def test_a_file_that_unpacks_without_measure_or_end_is_refused(tmp_path, kind, told):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["a"]
        if kind == "bomb":
            file.create_dataset("a/kernel", (30_000, 20_000), "f4", chunks=(1000, 1000), compression="gzip")
        elif kind == "itself":
            file.create_group("a")["a"] = file
        else:
            file.create_group("/".join("a" * 2000))
    with pytest.raises(ModelError, match=told):
        read_keras_file(path)


def test_a_configuration_nested_without_end_is_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"] = ["a"]
        file.attrs["model_config"] = "[" * 20_000
    with pytest.raises(ModelError, match="nested deeper"):
        read_keras_file(tmp_path / "m.h5")
