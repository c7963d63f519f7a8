"""Reporting checklists: every item once, filled from what the run knows and from nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from AcuteFindingsLib import __version__
from AcuteFindingsLib.cli import app
from AcuteFindingsLib.evaluation.checklist import GUIDELINES, KNOWN, checklists, write_checklists
from AcuteFindingsLib.evaluation.checklist_known import Known, known_of
from AcuteFindingsLib.evaluation.evaluate import Request, evaluate
from AcuteFindingsLib.models.find import find_package

MODEL = "pe-sequence-small"
RULE = "A clot of at least 0.1 mL."
SCANNERS = ("Nova", "One", "One")


@pytest.fixture
def results(tmp_path: Path, table) -> tuple[Path, Path]:
    """A folder of findings by a shipped model, as `run` leaves them, and their truth."""
    folder, weights = tmp_path / "results", find_package(MODEL).sha256
    for number in range(30):
        data = finding(number, weights)
        (folder / f"s{number:02d}").mkdir(parents=True)
        (folder / f"s{number:02d}" / "finding.json").write_text(json.dumps(data))
    rows = [[f"s{number:02d}", int(number % 3 == 0), "fm"[number % 2]] for number in range(30)]
    return folder, table("truth.csv", ["study", "pe", "sex"], rows)


def finding(number: int, weights: str) -> dict[str, Any]:
    return {
        "model": {"id": MODEL, "version": "1.0.0", "sha256": weights, "runtime": "ONNX Runtime 1.22"},
        "verdict": {
            "label": "indeterminate" if number == 4 else "negative",
            "probability": number * 7 % 30 / 30,
            "threshold": 0.5,
            "rule": RULE,
        },
        "main_label": "pe",
        "slice_threshold": 0.5,
        "series_instance_uid": f"1.2.840.{number}",
        "slices": [{"index": 0, "sop_instance_uid": f"1.2.840.{number}.1", "probabilities": {"pe": 0.1}}],
        "warnings": [{"code": "thick", "severity": "refuse", "text": "Thick."}] if number == 7 else [],
        "acquisition": {
            "manufacturer": "ACME",
            "model": SCANNERS[number % 3],
            "kernel": "B30f",
            "kvp": 100.0,
            "contrast": True,
            "thickness_mm": 1.0 + number % 2,
        },
    }


def rows(known: Known) -> dict[tuple[str, str], Any]:
    return {(one.guideline.name, row.item.number): row for one in checklists(known) for row in one.rows}


def test_both_guidelines_have_all_their_items_once() -> None:
    claim, stard = GUIDELINES
    assert [item.number for item in claim.items] == [str(number) for number in range(1, 45)]
    whole = [item.number.rstrip("abcd") for item in stard.items]
    assert sorted(set(whole), key=int) == [str(number) for number in range(1, 41)]
    parts = [item.number for item in stard.items if item.number[-1].isalpha()]
    assert parts == ["15a", "15b", "15c", "15d", "16a", "16b", "16c", "17a", "17b", "26a", "26b", "40a", "40b"]


def test_every_item_has_someone_who_answers_it() -> None:
    for guideline in GUIDELINES:
        for item in guideline.items:
            assert item.known in KNOWN or not item.known
            assert item.known or item.left, item


def test_what_the_run_knows_is_filled_in(results) -> None:
    folder, truth = results
    request = Request(truth, subgroups=("sex",))
    result = evaluate(folder, request)
    found = rows(known_of(folder, result, request))
    claim = {number: row.said for (name, number), row in found.items() if name.startswith("CLAIM")}
    assert "scanners ACME One (20), ACME Nova (10)" in claim["13"]
    assert "100 kV (30)" in claim["13"]
    assert "1 to 2 mm" in claim["13"]
    assert "contrast agent stated in 30 of 30" in claim["13"]
    assert "thick 1" in claim["8"]
    assert "column pe" in claim["14"]
    assert "phantoms only" in claim["19"]
    assert find_package(MODEL).sha256 in claim["22"]
    assert RULE in claim["22"]
    assert f"AcuteFindings {__version__}" in claim["23"]
    assert "ONNX Runtime 1.22" in claim["23"]
    assert "sex" in claim["30"]
    assert "f 15 (5 positive)" in claim["36"]
    stard = {number: row.said for (name, number), row in found.items() if name.startswith("STARD")}
    assert "1 of 30 verdicts are indeterminate" in stard["19"]
    assert "33.3 %" in stard["28"]


def test_figures_are_those_of_the_evaluation(results) -> None:
    folder, truth = results
    request = Request(truth)
    result = evaluate(folder, request)
    (label,) = result.levels[0].labels
    found = rows(known_of(folder, result, request))
    auc, point = label.auc, label.points[0]
    said = f"{auc.value:.3f} ({auc.intervals[0].low:.3f} to {auc.intervals[0].high:.3f})"
    assert said in found["CLAIM 2024", "37"].said
    assert f"sensitivity {point.figures['sensitivity'].value:.3f}" in found["CLAIM 2024", "38"].said
    table = found["STARD-AI 2025", "30"].said
    assert f"{point.true_positive} true positive, {point.false_positive} false positive" in table
    assert found["STARD-AI 2025", "31"].status == "filled"


def test_what_the_run_does_not_know_is_left_to_the_authors(table) -> None:
    names = [f"{number}.png" for number in range(20)]
    truth = table("truth.csv", ["image", "any"], [[name, int(n < 8)] for n, name in enumerate(names)])
    predictions = table("a.csv", ["image", "any"], [[name, 1 - n / 20] for n, name in enumerate(names)])
    request = Request(truth)
    found = rows(known_of(predictions, evaluate(predictions, request), request))
    for number in ("4", "9", "13", "16", "25", "30", "31", "42", "44"):
        row = found["CLAIM 2024", number]
        assert (row.status, row.said) == ("authors", "")
        assert row.item.left
    assert not any("None" in row.said for row in found.values() if not row.said.startswith("None: one run"))


def test_a_card_of_other_weights_is_not_told_as_that_of_the_model(results) -> None:
    folder, truth = results
    for file in folder.rglob("finding.json"):
        file.write_text(file.read_text().replace(find_package(MODEL).sha256, "0" * 64))
    request = Request(truth)
    known = known_of(folder, evaluate(folder, request), request)
    assert known.card is None
    assert rows(known)["CLAIM 2024", "9"].status == "authors"


def test_page_and_numbers_name_no_study(results, tmp_path: Path) -> None:
    folder, truth = results
    request = Request(truth)
    for path in write_checklists(known_of(folder, evaluate(folder, request), request), tmp_path / "out"):
        text = path.read_text(encoding="utf-8")
        assert "1.2.840" not in text
        assert "s07" not in text


def test_the_command_writes_the_checklists_beside_the_evaluation(results, tmp_path: Path) -> None:
    folder, truth = results
    out = tmp_path / "out"
    arguments = ["evaluate", str(folder), "--truth", str(truth), "--checklist", "claim"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    claim, stard = json.loads((out / "checklist.json").read_text())
    assert (len(claim["items"]), len(stard["items"])) == (44, 48)
    assert claim["filled"] + claim["partly"] + claim["authors"] == 44
    assert "left to the authors" in (out / "checklist.html").read_text()
    with pytest.raises(Exception, match="--checklist writes a page"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
