"""MONAI's own bundle tools on the packages that ship: they read them, and give the detectors' probabilities."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from PIL import Image

import AcuteFindingsLib
from AcuteFindingsLib.detectors.bundle import PrepareStudy, list_studies
from AcuteFindingsLib.detectors.load import load_detector
from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.radiograph import RadiographSettings, network_images, predict_flipped
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.detectors.scoring import load_scorer
from AcuteFindingsLib.errors import ModelError, StudyError
from AcuteFindingsLib.models.bundle_config import SCHEMA, complete_data_format, inference_config
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.package import ModelPackage, read_package
from AcuteFindingsLib.models.runtime.torch_weights import load_network
from AcuteFindingsLib.models.write import rewrite_package
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.study.reader import read_study

MODELS = resource_path("Models")
SHIPPED = [read_package(folder) for folder in sorted(MODELS.iterdir()) if (folder / "configs").is_dir()]
IDS = [package.id for package in SHIPPED]

# The required properties of MONAI's schema `meta_schema_20240725.json`, top level and "$defs/tensor"
# (https://project-monai.github.io/schema/meta_schema_20240725.json), ...
SCHEMA_FIELDS = {
    **dict.fromkeys(("schema", "version", "monai_version", "pytorch_version", "numpy_version"), str),
    **dict.fromkeys(("task", "description", "authors", "copyright"), str),
    **dict.fromkeys(("required_packages_version", "network_data_format"), dict),
}
# ... and the tensor format specifiers that the bundle specification asks for beside them
# (https://docs.monai.io/en/stable/mb_specification.html, "metadata.json File").
TENSOR_FIELDS = {
    "type": str,
    "format": str,
    "modality": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
    "is_patch_data": bool,
    "channel_def": dict,
}

PHANTOMS = {
    "hemorrhage": ("head-ct", {"matrix": 128, "slice_spacing": 8}),
    "pe": ("ctpa", {"matrix": 96, "slice_spacing": 10}),
    "radiograph": ("chest-xray", {"size": 256}),
}


def shipped(task: str) -> ModelPackage:
    return next(package for package in SHIPPED if package.card.task == task)


def config_of(package: ModelPackage) -> str:
    return str(package.folder / "configs" / "inference.json")


def workflow(package: ModelPackage, **override) -> monai.bundle.ConfigWorkflow:
    made = monai.bundle.ConfigWorkflow(
        config_file=config_of(package),
        workflow_type="infer",
        bundle_root=str(package.folder),
        device="cpu",
        **override,
    )
    made.initialize()
    return made


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A folder with one small phantom study, as DICOM, for a task."""
    made: dict[str, Path] = {}

    def of(task: str) -> Path:
        name = task if task in PHANTOMS else "radiograph"
        if name not in made:
            kind, options = PHANTOMS[name]
            written = write_phantom(
                make_phantom(kind, 900_001, positive=True, **options), tmp_path_factory.mktemp("written")
            )
            made[name] = tmp_path_factory.mktemp(name)
            (made[name] / "one").mkdir()
            files = sorted(file for file in (written / "dicom").rglob("*") if file.is_file())
            # The middle of a chest is as good as all of it here, and takes a third of the time.
            kept = files[len(files) // 3 : 2 * len(files) // 3] if name == "pe" else files
            for file in kept:
                shutil.copy(file, made[name] / "one")
        return made[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("package", SHIPPED, ids=IDS)
def test_monai_finds_every_property_of_an_inference_workflow(package):
    assert workflow(package, dataset_dir=str(package.folder)).check_properties() == []


@pytest.mark.slow
@pytest.mark.parametrize("package", SHIPPED, ids=IDS)
def test_monais_parser_builds_the_network_and_the_transforms(package, studies):
    parser = monai.bundle.ConfigParser()
    parser.read_config(config_of(package))
    parser["bundle_root"], parser["device"] = str(package.folder), "cpu"
    network = parser.get_parsed_content("network")
    for line in range(len(parser["initialize"])):
        parser.get_parsed_content(f"initialize#{line}")
    expected = load_network(package).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    if package.card.task in ("lungs", "chest"):
        shown = parser.get_parsed_content("preprocessing")(str(studies("radiograph") / "one"))
        size = package.card.preprocessing["size"]
        assert tuple(shown.image.shape) == (1, 1, size, size)
        assert shown.image.dtype == torch.float32


def test_a_model_of_another_form_is_prepared_by_that_form():
    card = shipped("hemorrhage").card
    usual = inference_config(card, weights="models/model.safetensors")["preprocessing"]["transforms"][1]
    assert "form" not in usual
    slabs = card.model_copy(update={"form": "slab-sequence"})
    stated = inference_config(slabs, weights="models/model.safetensors")["preprocessing"]["transforms"][1]
    assert stated["form"] == "slab-sequence"
    study = phantom_study(make_phantom("head-ct", 7, positive=True, matrix=64, slice_spacing=20.0))
    shown = PrepareStudy("hemorrhage", {"size": 32}, stated["form"])(study)
    assert tuple(shown.image.shape) == (len(study.sources), 9, 32, 32)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["hemorrhage", "pe"])
def test_a_ct_gets_the_detectors_probabilities_slice_by_slice(task, studies, tmp_path):
    folder = studies(task)
    finding = load_detector(task, model=str(shipped(task).folder), device="cpu").detector.run(
        read_study(folder / "one", requirements=find_kind(task).requirements)
    )
    answers = workflow(shipped(task), dataset_dir=str(folder), output_dir=str(tmp_path / "results")).run()[0]["one"]
    assert answers["study"][finding.main_label] == pytest.approx(finding.verdict.probability, abs=1e-3)
    assert len(answers["slices"]) == len(finding.slices) > 5
    for told, expected in zip(answers["slices"], finding.slices, strict=True):
        assert told["sop_instance_uid"] == expected.sop_instance_uid
        assert told["probabilities"] == pytest.approx(expected.probabilities, abs=1e-3)
    written = json.loads((tmp_path / "results" / "probabilities.json").read_text())
    assert written["model"] == shipped(task).id
    assert written["studies"] == {"one": answers}


@pytest.mark.slow
def test_a_radiograph_gets_the_detectors_probabilities_and_mask(studies, tmp_path):
    folder = studies("pneumothorax")
    package = shipped("pneumothorax")
    study = read_study(folder / "one", requirements=find_kind("pneumothorax").requirements)
    scores = load_scorer("pneumothorax", model=str(package.folder), device="cpu").score([study])
    answers = workflow(package, dataset_dir=str(folder), output_dir=str(tmp_path)).run()[0]["one"]
    assert answers["study"] == pytest.approx({"pneumothorax": scores.probabilities[0, 0]}, abs=1e-3)
    assert scores.probabilities[0, 0] > 0.5
    soft = np.asarray(Image.open(tmp_path / "masks" / "one-pneumothorax.png")) / 255
    threshold = package.card.threshold("mask", "pneumothorax")
    assert ((soft >= threshold) == scores.masks[0]).mean() > 0.999


@pytest.mark.slow
def test_chest_findings_are_those_of_predict(studies, tmp_path):
    folder, package = studies("chest"), shipped("chest")
    scores = load_scorer("chest", model=str(package.folder), device="cpu").score([read_study(folder / "one")])
    answers = workflow(package, dataset_dir=str(folder), output_dir=str(tmp_path)).run()[0]["one"]
    names = [label.name for label in package.card.labels]
    expected = dict(zip(names, scores.probabilities[0], strict=True))
    assert answers["study"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_lungs_are_those_of_predict_pixel_by_pixel(studies):
    folder, package = studies("lungs"), shipped("lungs")
    predictor = load_predictor(package, device="cpu")
    settings = RadiographSettings.model_validate(predictor.card.preprocessing)
    picture = read_study(folder / "one").array[0]
    expected = predict_flipped(predictor, network_images([picture], settings), settings)["mask"][0, 0]
    made = workflow(package, dataset_dir=str(folder))
    scores = made.inferer(made.dataset[0], made.parser.get_parsed_content("network"))
    np.testing.assert_allclose(scores.masks["lungs"], expected, atol=1e-3)
    assert expected.max() > 0.9


@pytest.mark.slow
def test_monai_runs_a_package_in_a_process_of_its_own(studies, tmp_path):
    package = shipped("lungs")
    program = (
        "import sys; from monai.bundle import run; config, root, studies, out = sys.argv[1:];"
        "run(config_file=config, bundle_root=root, dataset_dir=studies, output_dir=out, device='cpu')"
    )
    folders = [config_of(package), str(package.folder), str(studies("lungs")), str(tmp_path / "results")]
    library = str(Path(AcuteFindingsLib.__file__).parents[1])
    subprocess.run([sys.executable, "-c", program, *folders], check=True, env={**os.environ, "PYTHONPATH": library})
    assert list(json.loads((tmp_path / "results" / "probabilities.json").read_text())["studies"]) == ["one"]
    assert (tmp_path / "results" / "masks" / "one-lungs.png").is_file()
    package.verify_files()


@pytest.mark.parametrize("package", SHIPPED, ids=IDS)
def test_metadata_has_every_field_that_monai_demands(package):
    data = json.loads((package.folder / "configs" / "metadata.json").read_text())
    assert data["schema"] == SCHEMA
    assert not [name for name, kind in SCHEMA_FIELDS.items() if not (data[name] and isinstance(data[name], kind))]
    tensors = data["network_data_format"]["inputs"] | data["network_data_format"]["outputs"]
    assert len(tensors) >= 2
    for tensor in tensors.values():
        assert not [name for name, kind in TENSOR_FIELDS.items() if not isinstance(tensor.get(name), kind)]


def test_what_an_author_leaves_out_of_the_tensors_is_filled_in_and_what_is_stated_stays(make_card):
    card = make_card(task="chest")
    stated = {"inputs": {"picture": {"num_channels": 3, "value_range": [0, 255]}}, "outputs": {}}
    complete = complete_data_format(card, stated)
    picture, answer = complete["inputs"]["picture"], complete["outputs"]["pred"]
    assert (picture["num_channels"], picture["value_range"], picture["modality"]) == (3, [0, 255], "CR")
    assert answer["channel_def"] == {"0": "any"}
    assert all(set(TENSOR_FIELDS) <= set(tensor) for tensor in (picture, answer))


def test_rewriting_gives_an_old_package_the_new_configuration_and_keeps_its_weights(package, build, reseal):
    path = package.folder / "configs" / "inference.json"
    new, weights = path.read_bytes(), package.sha256
    path.write_text("{}")
    data = json.loads((package.folder / "configs" / "metadata.json").read_text())
    del data["schema"]
    (package.folder / "configs" / "metadata.json").write_text(json.dumps(data))
    reseal(package.folder)
    again = rewrite_package(package.folder, build=build)
    assert path.read_bytes() == new
    assert again.sha256 == weights
    assert json.loads((package.folder / "configs" / "metadata.json").read_text())["schema"] == SCHEMA
    assert rewrite_package(package.folder, build=build).checksums == again.checksums
    assert [item.name for item in package.folder.parent.iterdir()] == ["tiny-test"]


def test_a_damaged_package_is_not_rewritten(package, build):
    path = package.folder / "LICENSE"
    path.write_text("Anything goes.")
    before = (package.folder / "checksums.json").read_bytes()
    with pytest.raises(ModelError, match="LICENSE"):
        rewrite_package(package.folder, build=build)
    assert (package.folder / "checksums.json").read_bytes() == before
    assert [item.name for item in package.folder.parent.iterdir()] == ["tiny-test"]


def test_a_changed_package_is_refused_before_it_runs(package, tmp_path):
    (package.folder / "docs" / "README.md").write_text("Fit for every use.")
    with pytest.raises(RuntimeError) as caught:
        workflow(package, dataset_dir=str(tmp_path))
    assert isinstance(caught.value.__cause__, ModelError)
    assert "README.md" in str(caught.value.__cause__)


def test_results_do_not_go_into_the_package_itself(studies, tmp_path):
    package = read_package(shutil.copytree(shipped("lungs").folder, tmp_path / "lungs"))
    run = workflow(package, dataset_dir=str(studies("lungs")), output_dir=str(package.folder / "results")).run
    with pytest.raises(RuntimeError) as caught:
        run()
    assert "--output_dir" in str(caught.value.__cause__)
    package.verify_files()


def test_studies_are_subfolders_and_files_but_loose_slices_are_one_ct(tmp_path):
    with pytest.raises(StudyError, match="dataset_dir"):
        list_studies(str(tmp_path / "nowhere"), "pe")
    with pytest.raises(StudyError, match="holds no study"):
        list_studies(str(tmp_path), "lungs")
    for name in ("2.dcm", "1.dcm", "notes.txt"):
        (tmp_path / name).touch()
    assert list_studies(str(tmp_path), "pe") == [str(tmp_path)]
    assert list_studies(str(tmp_path), "lungs") == [str(tmp_path / "1.dcm"), str(tmp_path / "2.dcm")]
    (tmp_path / "exam").mkdir()
    assert str(tmp_path / "exam") in list_studies(str(tmp_path), "pe")
