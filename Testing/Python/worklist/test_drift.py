"""Drift: which week the studies of a department changed, and in what, and that chance alone is rarely called so."""

import json
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp
from typer.testing import CliRunner

from AcuteFindingsLib.cli import app
from AcuteFindingsLib.errors import CalibrationError, DataError
from AcuteFindingsLib.trust.calibration import CalibratedModel, Calibration, Promise, SiteStudy
from AcuteFindingsLib.trust.drift import (
    Facts,
    Sample,
    Shift,
    compare,
    corrected,
    facts_of_finding,
    sample_of,
)
from AcuteFindingsLib.trust.site_files import find_calibration, install_calibration, note_change, write_calibration
from AcuteFindingsLib.worklist.drift import Dated, drift_of, studies_of
from AcuteFindingsLib.worklist.drift_page import drift_numbers, write_drift
from AcuteFindingsLib.worklist.records import Record, ResultsFolder, record_bytes
from AcuteFindingsLib.worklist.study_dates import read_dates

FIRST = date(2026, 6, 1)


def department(
    weeks: int, a_week: int, *, changed: Callable[[int], bool] = lambda week: False, seed: int = 0
) -> list[Dated]:
    """Studies of a department whose scanner and noise are other ones in some weeks, and nothing else."""
    random = np.random.default_rng(seed)
    studies = []
    for week in range(weeks):
        for _ in range(a_week):
            new = changed(week)
            facts = Facts(
                {
                    "probability": float(random.beta(0.4, 1.5)),
                    "feature: noise": float(random.normal(9 if new else 5)),
                    "feature: size": float(random.normal(170, 8)),
                    "slice thickness (mm)": float(random.choice([1.0, 5.0])),
                },
                {
                    "scanner": "Nova" if new else str(random.choice(["One", "Two"], p=[0.7, 0.3])),
                    "kernel": str(random.choice(["H31s", "H30f", "B20"], p=[0.8, 0.17, 0.03])),
                },
            )
            studies.append(Dated(FIRST + timedelta(weeks=week, days=int(random.integers(5))), facts))
    return studies


def test_a_new_scanner_is_found_in_its_week_and_in_what_it_changes():
    drift = drift_of("hemorrhage", department(10, 40, changed=lambda week: week >= 7, seed=1))
    changes = {change.variable: change for change in drift.changes}
    for name in ("scanner", "feature: noise"):
        assert changes[name].spans == ("2026-W30", "2026-W31", "2026-W32")
        assert changes[name].lasting
    assert set(changes) == {"scanner", "feature: noise"}
    assert drift.reference == "the first weeks, 2026-W23 to 2026-W25, 120 studies"


def test_a_change_that_ended_is_not_called_lasting():
    drift = drift_of("hemorrhage", department(10, 40, changed=lambda week: week == 6))
    changes = {change.variable: change for change in drift.changes}
    for name in ("scanner", "feature: noise"):
        assert changes[name].spans == ("2026-W29",)
        assert not changes[name].lasting


def test_a_small_change_that_lasts_is_found_in_the_latest_weeks_together():
    studies = department(11, 25, seed=2)
    moved = [
        replace(
            one,
            facts=replace(
                one.facts, numbers=one.facts.numbers | {"feature: size": 1.02 * one.facts.numbers["feature: size"]}
            ),
        )
        if one.day >= FIRST + timedelta(weeks=7)
        else one
        for one in studies
    ]
    drift = drift_of("hemorrhage", moved)
    (change,) = drift.changes
    assert change.variable == "feature: size"
    assert change.spans == ("2026-W30 to 2026-W33",)
    assert change.lasting
    assert not any(span.changed for span in drift.spans)
    assert drift.latest == (("feature: size",), FIRST + timedelta(weeks=7))


def test_corrected_p_values_are_holms():
    shifts = [Shift(str(number), p, 1.0, "", "") for number, p in enumerate((0.01, 0.04, 0.03, 0.005))]
    first, second = corrected([shifts[:1], shifts[1:]])
    # By hand, from the smallest: 4 p, 3 p, 2 p, p, each at least the one before.
    assert [shift.adjusted for shift in (*first, *second)] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_chance_alone_is_called_a_change_in_at_most_one_report_of_ten():
    # 5 % is what is promised; 3 of 40 are within it, 8 of 40 would not be (p < 0.001).
    found = [bool(drift_of("hemorrhage", department(8, 30, seed=seed)).changes) for seed in range(40)]
    assert sum(found) < 8


def site(studies: list[Dated]) -> Calibration:
    """A calibration that keeps these studies."""
    return Calibration(
        site="Example Hospital",
        detector="hemorrhage",
        model=CalibratedModel(id="m", version="1", sha256="ab" * 32, threshold=0.5),
        made=date(2026, 5, 1),
        software="1",
        count=len(studies),
        positives=20,
        promise=Promise(kind="predictive values", positive=0.9, negative=0.95, confidence=0.9),
        temperature=1.0,
        negative_below=0.2,
        positive_from=0.7,
        called_positive=20,
        called_negative=50,
        studies=tuple(
            SiteStudy(
                probability=one.facts.numbers["probability"],
                features={"noise": one.facts.numbers["feature: noise"]},
                acquisition={"manufacturer": "ACME", "model": one.facts.names["scanner"], "kvp": 120.0},
            )
            for one in studies
        ),
    )


def test_a_calibration_set_is_the_reference_of_every_week():
    studies = department(3, 40, changed=lambda week: week == 0)
    drift = drift_of("hemorrhage", studies, calibration=site(department(1, 150, seed=9)))
    assert len(drift.spans) == 3
    changes = {change.variable: change for change in drift.changes}
    assert changes["feature: noise"].spans == ("2026-W23",)
    assert drift.reference == "the calibration set of Example Hospital, 150 studies, 2026-05-01"


def test_what_the_calibration_lacks_is_named_and_not_compared():
    drift = drift_of("hemorrhage", department(1, 40), calibration=site(department(1, 150, seed=9)))
    assert drift.left_out == ("feature: size", "slice thickness (mm)")
    compared = {shift.variable for span in drift.spans for shift in span.shifts}
    assert compared <= {"probability", "feature: noise", "scanner", "kernel"}


def test_studies_that_another_model_answered_are_left_aside():
    studies = [replace(one, model="cd" * 32) for one in department(1, 40)] + department(1, 40, seed=3)
    drift = drift_of("hemorrhage", studies, calibration=site(department(1, 150, seed=9)))
    assert drift.other_models == 40
    assert drift.spans[0].sample.count == 40


def test_weeks_of_few_studies_are_taken_together():
    drift = drift_of("hemorrhage", department(30, 8))
    assert {span.sample.count for span in drift.spans[:-1]} == {24}
    assert drift.spans[0].name == "2026-W36 to 2026-W38"


@pytest.mark.parametrize(("weeks", "a_week", "missing"), [(2, 30, 60), (4, 29, 20)])
def test_too_few_studies_are_a_sentence_that_says_how_many_are_missing(weeks, a_week, missing):
    drift = drift_of("hemorrhage", department(weeks, a_week))
    assert not drift.spans
    assert f"{missing} are missing" in drift.said


def test_p_values_are_those_of_scipy_where_their_assumptions_hold():
    before, now = department(1, 200, seed=1), department(1, 150, seed=2)
    samples = [sample_of(study.facts for study in part) for part in (before, now)]
    found = {shift.variable: shift for shift in compare(*samples)}
    numbers = [sample.numbers["feature: size"] for sample in samples]
    assert found["feature: size"].p_value == ks_2samp(*numbers).pvalue
    table = [[sample.names["scanner"][name] for name in ("One", "Two")] for sample in samples]
    assert found["scanner"].p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)


def test_a_rare_name_is_tested_by_draws_as_fishers_exact_test_does():
    from scipy.stats import fisher_exact

    one = Sample(60, names={"kernel": {"A": 59, "B": 1}})
    two = Sample(12, names={"kernel": {"A": 9, "B": 3}})
    (shift,) = compare(one, two)
    assert shift.p_value == pytest.approx(fisher_exact([[59, 1], [9, 3]]).pvalue, abs=0.003)


def test_the_stability_index_is_what_its_formula_gives_less_what_chance_gives():
    one, two = (Sample(1000, names={"kernel": {"A": a, "B": 1000 - a}}) for a in (500, 800))
    (shift,) = compare(one, two)
    by_hand = (0.8 - 0.5) * np.log(0.8 / 0.5) + (0.2 - 0.5) * np.log(0.2 / 0.5) - 2 / 1000
    assert shift.psi == pytest.approx(by_hand, abs=0.002)


def test_numbers_of_few_values_count_each_by_itself():
    one = Sample(100, numbers={"thickness": (5.0,) * 100})
    (shift,) = compare(one, Sample(40, numbers={"thickness": (1.0,) * 12 + (5.0,) * 28}))
    assert shift.psi > 0.25
    assert corrected([[shift]])[0][0].changed


def finding(*, noise: float, scanner: str = "One") -> dict[str, Any]:
    return {
        "verdict": {"label": "negative", "probability": 0.2},
        "model": {"id": "m", "version": "1", "sha256": "ab" * 32},
        "likeness": {"label": "like", "distance": 0.4, "features": {"noise": noise}},
        "acquisition": {"manufacturer": "ACME", "model": scanner, "kvp": 120.0, "spacing_mm": [5.0, 0.4, 0.4]},
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    folder = ResultsFolder(tmp_path / "results")
    for number in range(160):
        when = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=number // 6)
        key, new = f"{number:020d}", number >= 120
        record = Record(key, "hemorrhage", "done", f"1.2.{number}", arrived=when.isoformat(), finished=when.isoformat())
        folder.results(key).mkdir()
        (folder.results(key) / "record.json").write_bytes(record_bytes(record))
        data = finding(noise=float(random.normal(9 if new else 5)), scanner="Nova" if new else "One")
        (folder.results(key) / "finding.json").write_text(json.dumps(data))
    folder.write(Record("f" * 20, "hemorrhage", "failed", arrived=datetime(2026, 6, 2, tzinfo=UTC).isoformat()))
    return folder.folder


def test_the_command_names_week_and_variable_and_writes_page_and_numbers(results):
    done = CliRunner().invoke(app, ["drift", str(results)])
    assert done.exit_code == 0, done.output
    assert "scanner" in done.output
    numbers = json.loads((results / "drift.json").read_text())
    (one,) = numbers
    assert {change["variable"] for change in one["changes"]} == {"scanner", "feature: noise"}
    assert all(change["spans"][-1] == one["spans"][-1]["name"] for change in one["changes"])
    assert "ACME Nova" in (results / "drift.html").read_text()


@pytest.fixture
def own_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


def like_results(*, noise: float, scanner: str) -> list[Dated]:
    random = np.random.default_rng(5)
    return [
        Dated(FIRST, Facts({"probability": 0.2, "feature: noise": float(random.normal(noise))}, {"scanner": scanner}))
        for _ in range(120)
    ]


def test_a_site_that_changed_is_noted_beside_its_calibration_until_it_is_calibrated_again(results, own_account):
    runner, old = CliRunner(), site(like_results(noise=5, scanner="One"))
    file = write_calibration(old, own_account / "old.json")
    done = runner.invoke(app, ["drift", str(results), "--calibration", str(file)])
    assert done.exit_code == 0, done.output
    assert "calibrate again" in done.output
    _, (notice,) = find_calibration(str(file), "hemorrhage", old.model)
    assert notice.code == "site-changed"
    # Six of that week's studies, all on its last day, were made on the new scanner.
    assert "Since 2026-06-15 this site's studies differ" in notice.text
    assert "scanner" in notice.text
    assert runner.invoke(app, ["drift", str(results), "--calibration", "none"]).exit_code == 0
    assert find_calibration(str(file), "hemorrhage", old.model)[1]


def test_an_installed_calibration_is_the_reference_and_a_note_goes_when_nothing_differs(results, own_account):
    new = site(like_results(noise=9, scanner="Nova"))
    install_calibration(new)
    note_change(new, "noise", since=FIRST)
    for number in range(120):
        shutil.rmtree(results / f"{number:020d}")
    for record in ResultsFolder(results).records():
        if record.state == "done":
            path = results / record.key / "record.json"
            path.write_bytes(record_bytes(replace(record, model_sha256="ab" * 32)))
    done = CliRunner().invoke(app, ["drift", str(results)])
    assert done.exit_code == 0, done.output
    assert "the calibration set of Example Hospital" in " ".join(done.output.split())
    assert find_calibration(None, "hemorrhage", new.model)[1] == ()


def test_a_calibration_of_another_detector_is_refused_in_a_sentence(results, own_account):
    other = site(like_results(noise=5, scanner="One")).model_copy(update={"detector": "pe"})
    file = write_calibration(other, own_account / "pe.json")
    with pytest.raises(CalibrationError, match="calibrates pe; name its studies with --detector pe"):
        CliRunner().invoke(app, ["drift", str(results), "--calibration", str(file)], catch_exceptions=False)


def test_page_and_numbers_name_no_study(results, tmp_path):
    drifts = [drift_of(name, studies) for name, studies in studies_of(ResultsFolder(results)).items()]
    for path in write_drift(drifts, tmp_path):
        text = path.read_text()
        assert "1.2.13" not in text
        assert "00000000000000000" not in text


def test_the_report_on_the_worklist_says_what_changed(results):
    runner = CliRunner()
    assert runner.invoke(app, ["worklist", "rebuild", str(results)]).exit_code == 0
    done = runner.invoke(app, ["worklist", "report", str(results), "--json"])
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.output)
    assert {change["variable"] for change in one["drift"]["changes"]} == {"scanner", "feature: noise"}
    assert "What changed" in (results / "worklist-report.html").read_text()


def test_days_of_a_table_replace_those_of_arrival(results, tmp_path):
    table = tmp_path / "days.csv"
    table.write_text("study,date\n" + "".join(f"1.2.{n},2025-{1 + n // 14:02d}-05\n" for n in range(160)))
    (studies,) = studies_of(ResultsFolder(results), read_dates(table)).values()
    assert len(studies) == 160
    assert {study.day.year for study in studies} == {2025}


def test_a_table_without_days_or_with_other_words_is_refused_in_a_sentence(tmp_path):
    table = tmp_path / "days.csv"
    table.write_text("study,when\n1,2\n")
    with pytest.raises(DataError, match="has no column 'date'"):
        read_dates(table)
    table.write_text("study,date\n1,yesterday\n")
    with pytest.raises(DataError, match="'yesterday' is no date"):
        read_dates(table)


def test_a_damaged_finding_is_left_out(results):
    (results / f"{3:020d}" / "finding.json").write_text("{")
    (results / f"{4:020d}" / "finding.json").write_text("[]")
    (studies,) = studies_of(ResultsFolder(results)).values()
    assert len(studies) == 159


def test_a_finding_of_an_earlier_version_is_compared_by_what_it_has():
    old = {name: value for name, value in finding(noise=3.0).items() if name in ("verdict", "model")}
    assert facts_of_finding(old).numbers == {"probability": 0.2}


def test_refused_studies_count_by_their_outcome(results):
    (studies,) = studies_of(ResultsFolder(results)).values()
    assert sample_of(study.facts for study in studies).names["outcome"] == {"done": 160, "failed": 1}
    assert drift_numbers(drift_of("hemorrhage", studies))["reference_studies"] >= 100


def test_the_measured_departments_are_made_as_the_page_says():
    tool = runpy.run_path(str(Path(__file__).parents[3] / "Tools" / "trust" / "measure_drift.py"))
    named, early, _other = tool["measure"](9, 30, "another scanner", range(4))
    assert (named, early) == (4, 0)
    assert tool["measure"](9, 30, "nothing", range(4))[:2] == (0, 0)
