import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from AcuteFindingsLib.detectors.acquisition import Acquisition
from AcuteFindingsLib.detectors.finding import (
    Code,
    Computed,
    Finding,
    Heatmap,
    Mask,
    Measurement,
    ModelIdentity,
    SliceResult,
    Verdict,
    load_finding,
)
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.study.notice import Notice


@pytest.fixture
def finding() -> Finding:
    generator = np.random.default_rng(0)
    ijk_to_ras = np.array([[-0.5, 0, 0, 10], [0, -0.48, 0.1, 20], [0, 0.1, 2.4, -30], [0, 0, 0, 1.0]])
    return Finding(
        detector="hemorrhage",
        model=ModelIdentity(
            "m",
            "1.0.0",
            "cd" * 32,
            "phantoms",
            runtime="ONNX Runtime 1.32.0",
            device="cuda",
            beside=(Computed("lungs", "PyTorch 2.14.0", "cpu"),),
        ),
        verdict=Verdict("positive", 0.8, 0.5, "three in a row", "it has four"),
        slices=tuple(
            SliceResult(n, (1.0, 2.0, 3.5 * n), f"1.2.3.{n}", {"any": 0.1 * n, "subdural": 0.5}, float(n))
            for n in range(4)
        ),
        main_label="any",
        slice_threshold=0.5,
        ijk_to_ras=ijk_to_ras,
        display_window=(40.0, 80.0),
        positive_runs=((1, 3),),
        masks=(
            Mask(
                "Hemorrhage",
                (generator.random((4, 6, 5)) > 0.5).astype(np.uint8),
                Code("SCT", "49755003", "Morphologically Altered Structure"),
                Code("SCT", "50960005", "Hemorrhage"),
                None,
                (0.8, 0.1, 0.1),
            ),
        ),
        heatmap=Heatmap("CAM", generator.integers(0, 255, (4, 3, 3), np.uint8), np.diag([-1.0, -1.0, 2.0, 1.0])),
        measurements=(Measurement("Volume", 12.5, "mL", Code("SCT", "118565006", "Volume")),),
        warnings=(Notice("thick", "warn", "Slices are thick."),),
        timings={"network": 1.5},
        series_instance_uid="1.2.3",
        acquisition=Acquisition("CT", "ACME", "One", "H31s", kvp=120.0, spacing_mm=(2.4, 0.48, 0.5), images=4),
    )


def test_finding_is_the_same_after_a_trip_through_its_files(finding: Finding, tmp_path: Path) -> None:
    back = load_finding(finding.save(tmp_path))
    assert back.to_dict() == finding.to_dict()
    assert back.model == finding.model
    assert back.acquisition == finding.acquisition
    np.testing.assert_array_equal(back.masks[0].array, finding.masks[0].array)
    np.testing.assert_array_equal(back.heatmap.array, finding.heatmap.array)
    np.testing.assert_allclose(back.heatmap.ijk_to_ras, finding.heatmap.ijk_to_ras)


def test_json_has_the_fields_that_readers_rely_on(finding: Finding, tmp_path: Path) -> None:
    data = json.loads(finding.save(tmp_path).read_text())
    assert set(data["model"]) == {
        *("id", "version", "sha256", "trained_on", "never_saw", "chosen"),
        *("runtime", "device", "beside"),
    }
    assert set(data["verdict"]) == {
        *("label", "probability", "threshold", "rule", "explanation"),
        *("by_rule", "calibration"),
    }
    assert {"index", "position_ras", "sop_instance_uid", "probabilities"} <= set(data["slices"][0])
    assert {"name", "code", "file"} <= set(data["masks"][0])
    assert (tmp_path / data["masks"][0]["file"]).is_file()
    assert set(data["measurements"][0]) == {"name", "value", "unit", "code"}
    assert set(data["warnings"][0]) == {"code", "severity", "text"}


def test_missing_mask_is_an_error_that_names_the_finding(finding: Finding, tmp_path: Path) -> None:
    path = finding.save(tmp_path)
    (tmp_path / "masks" / "hemorrhage.nrrd").unlink()
    with pytest.raises(ExportError, match=r"finding\.json"):
        load_finding(path)


def test_no_partial_file_is_left_behind(finding: Finding, tmp_path: Path) -> None:
    finding.save(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def test_a_mask_that_cannot_be_written_is_named(
    finding: Finding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("AcuteFindingsLib.detectors.finding.write_nrrd", full)
    with pytest.raises(ExportError, match=r"hemorrhage\.nrrd could not be written; is the disk full"):
        finding.save(tmp_path)
    assert not list(tmp_path.rglob("*.*"))


def test_masks_whose_names_come_out_alike_have_files_of_their_own(finding: Finding, tmp_path: Path) -> None:
    first = finding.masks[0]
    names = ["a b", "a-b", "A  B", "../..", "", "é" * 300, "é" * 301]
    masks = tuple(replace(first, name=name, array=first.array * (n % 2)) for n, name in enumerate(names))
    loaded = load_finding(replace(finding, masks=masks).save(tmp_path))
    assert len(list((tmp_path / "masks").iterdir())) == len(names)
    for mask, given in zip(masks, loaded.masks, strict=True):
        assert given.name == mask.name
        np.testing.assert_array_equal(given.array, mask.array)


@pytest.mark.parametrize("content", [b'{"format": 1, "detector": "\xff' + b"x" * 5000, b'{"format": ' + b"9" * 5000])
def test_a_damaged_file_is_refused_in_a_sentence_that_does_not_quote_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "finding.json"
    path.write_bytes(content)
    with pytest.raises(ExportError) as told:
        load_finding(path)
    assert len(str(told.value)) < 600 + len(str(path))
