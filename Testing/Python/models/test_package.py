import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.files import CHECKSUMS, METADATA
from AcuteFindingsLib.models.metadata import Card, Interval, Label, Origin
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.verify import verify_package

WEIGHTS = "models/model.safetensors"


def test_a_package_reads_back_what_was_written_and_verifies(package, build):
    again = read_package(package.folder)
    assert again == package
    assert (again.id, again.version, again.card.task) == ("tiny-test", "0.1.0", "hemorrhage")
    assert again.sha256 == json.loads((package.folder / CHECKSUMS).read_text())[WEIGHTS]
    assert set(again.checksums) == {METADATA, "configs/inference.json", WEIGHTS, "docs/README.md", "LICENSE"}
    verify_package(again, build=build)


@pytest.mark.slow
def test_reading_needs_no_torch():
    code = (
        "import sys, AcuteFindingsLib.models.package, AcuteFindingsLib.models.find, AcuteFindingsLib.models.write; "
        "sys.exit('torch' in sys.modules)"
    )
    library = str(Path(sys.modules["AcuteFindingsLib"].__file__).parents[1])
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": library}, check=False).returncode == 0


def test_one_changed_byte_in_the_weights_is_found_and_named(package, build):
    path = package.folder / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file"):
        verify_package(read_package(package.folder), build=build)


@pytest.mark.parametrize("name", ["LICENSE", "docs/README.md", WEIGHTS])
def test_a_missing_file_is_named(package, build, name):
    (package.folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        verify_package(read_package(package.folder), build=build)


def test_a_file_that_is_not_listed_is_named(package, build):
    (package.folder / "models" / "extra.py").write_text("print(1)")
    with pytest.raises(ModelError, match=r"extra\.py does not belong"):
        verify_package(package, build=build)


def test_a_link_out_of_the_package_is_refused(package, build, tmp_path):
    outside = tmp_path / "outside"
    (package.folder / "LICENSE").rename(outside)
    (package.folder / "LICENSE").symlink_to(outside)
    with pytest.raises(ModelError, match="LICENSE is a link"):
        verify_package(package, build=build)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "models/../../secret", "a\\..\\b", "c:/x"])
def test_a_listed_path_that_leads_outside_is_refused(package, name):
    path = package.folder / CHECKSUMS
    path.write_text(json.dumps({**json.loads(path.read_text()), name: "0" * 64}))
    with pytest.raises(ModelError, match="outside the model package"):
        read_package(package.folder)


def test_tensors_that_do_not_fit_are_named_the_first_three(package, build, reseal):
    path = package.folder / WEIGHTS
    state = load_file(path)
    state["head.weight"] = torch.zeros(3, 4)
    state["stray"] = torch.zeros(1)
    del state["block.0.weight"], state["mask.bias"]
    save_file(state, path)
    reseal(package.folder)
    with pytest.raises(ModelError) as caught:
        verify_package(read_package(package.folder), build=build)
    text = str(caught.value)
    assert "block.0.weight is missing" in text
    assert "head.weight is (3, 4), expected (2, 4)" in text
    assert "mask.bias is missing" in text
    assert "and 1 more" in text


def test_weights_that_are_not_finite_are_refused_with_the_tensor_named(package, build, reseal):
    path = package.folder / WEIGHTS
    state = load_file(path)
    state["head.bias"][0] = float("nan")
    save_file(state, path)
    reseal(package.folder)
    with pytest.raises(ModelError, match=r"not finite numbers, in head\.bias"):
        verify_package(read_package(package.folder), build=build)


def test_a_network_that_is_not_known_is_named(package, build, reseal):
    path = package.folder / METADATA
    data = json.loads(path.read_text())
    data["acutefindings"]["network"]["name"] = "unheard-of"
    path.write_text(json.dumps(data))
    reseal(package.folder)
    with pytest.raises(ModelError, match=r"acutefindings\.network.*unheard-of"):
        verify_package(read_package(package.folder), build=build)


def test_a_wrong_metadata_field_is_named_in_one_sentence(package):
    path = package.folder / METADATA
    data = json.loads(path.read_text())
    data["acutefindings"]["operating_points"][0]["threshold"] = 1.5
    del data["authors"]
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError) as caught:
        read_package(package.folder)
    text = str(caught.value)
    assert "field 'authors'" in text
    assert "field 'acutefindings.operating_points.0.threshold'" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (METADATA, "{", "not valid JSON"),
        (CHECKSUMS, "[]", "one JSON object"),
        (CHECKSUMS, "{}", "does not list configs/metadata.json"),
        (CHECKSUMS, json.dumps({METADATA: "0" * 64}), "lists no weights"),
        (CHECKSUMS, json.dumps({METADATA: "xyz"}), "not a SHA-256 checksum"),
    ],
)
def test_a_damaged_description_is_refused(package, name, content, match):
    (package.folder / name).write_text(content)
    with pytest.raises(ModelError, match=match):
        read_package(package.folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="nowhere is not a model package"):
        read_package(tmp_path / "nowhere")


def figure(metric: str) -> Interval:
    return Interval(metric=metric, value=0.9, low=0.8, high=0.95, data="d", count=9, command="c")


def test_a_label_counts_as_measured_where_a_figure_names_it(package):
    labels = [
        Label(name="any", meaning="Any bleed"),
        Label(name="sdh", meaning="Subdural bleed"),
        Label(name="edh", meaning="E"),
    ]
    card = package.card.model_copy(update={"labels": labels, "evaluation": [figure("AUC, study")]})
    assert card.measured_labels() == ("any",)
    card = card.model_copy(update={"evaluation": [figure("Sensitivity, slice, subdural bleed"), figure("AUC, study")]})
    assert card.measured_labels() == ("any", "sdh")
    assert card.measured_labels(main=False) == ("sdh",)


def test_an_imported_model_without_figures_reports_all_its_labels(package):
    origin = Origin(file="f", sha256="0" * 64, form="torch")
    labels = [Label(name=name, meaning=name) for name in "abc"]
    card = package.card.model_copy(update={"labels": labels, "evaluation": [], "origin": origin})
    assert card.measured_labels() == ("a", "b", "c")
    assert card.model_copy(update={"origin": None}).measured_labels() == ("a",)


def test_a_model_fitted_to_phantoms_only_never_saw_a_patient_and_says_only_plain_words(package):
    stated = package.card.model_dump()
    assert Card.model_validate({**stated, "never_saw": ""}).never_saw == "a patient"
    seen = {**stated, "training_data": {**stated["training_data"], "phantoms_only": False}}
    assert Card.model_validate({**seen, "never_saw": ""}).never_saw == ""
    with pytest.raises(ValidationError, match="never_saw"):
        Card.model_validate({**seen, "never_saw": "a <b>patient</b>"})
    with pytest.raises(ValidationError, match="never_saw"):
        Card.model_validate({**seen, "never_saw": "a\npatient"})


def test_a_card_is_read_with_license_in_either_spelling_and_written_as_packages_have_it(make_card):
    card = make_card()
    written = card.model_dump(mode="json", by_alias=True)
    assert written["licence"] == "BSD-3-Clause"
    assert "license" not in written
    assert Card.model_validate(written) == card
    assert (
        Card.model_validate({"license" if key == "licence" else key: value for key, value in written.items()}) == card
    )
