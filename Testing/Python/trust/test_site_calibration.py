"""A site's calibration: made from results and truth, refused where it cannot be, and what it does to verdicts."""

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from site_studies import SHA256, make_finding, scores, write_results

from AcuteFindingsLib.detectors.acquisition import Acquisition
from AcuteFindingsLib.detectors.finding import Likeness, ModelIdentity, Verdict
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import CalibrationError, EvaluationError
from AcuteFindingsLib.progress import never_cancelled, no_progress
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.trust import site_files
from AcuteFindingsLib.trust.calibrate import make_calibration
from AcuteFindingsLib.trust.calibration import CalibratedModel, Calibration, Promise, SiteStudy, calibrated, unsuited
from AcuteFindingsLib.trust.site_results import read_site_results
from AcuteFindingsLib.trust.weigh import weigh

PROMISE = Promise(kind="predictive values", positive=0.9, negative=0.95, confidence=0.9)


def of_site(**changes: object) -> Calibration:
    values = {
        "site": "Example Hospital",
        "detector": "hemorrhage",
        "model": CalibratedModel(id="some-model", version="1.0", sha256=SHA256, threshold=0.5),
        "made": date(2026, 3, 1),
        "software": "1",
        "count": 200,
        "positives": 60,
        "promise": PROMISE,
        "temperature": 2.0,
        "negative_below": 0.2,
        "positive_from": 0.7,
        "called_positive": 50,
        "called_negative": 120,
        "studies": (SiteStudy(probability=0.9, features={"noise": 3.0}, acquisition={"kernel": "H31s"}),),
    }
    return Calibration(**{**values, **changes})


@pytest.fixture
def own_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


# What it does to a verdict


@pytest.mark.parametrize(
    ("probability", "label", "by_rule"),
    [
        (0.69, "indeterminate", "positive"),
        (0.70, "positive", None),
        (0.20, "indeterminate", "negative"),
        (0.19, "negative", None),
    ],
)
def test_a_verdict_is_the_calibrations_and_keeps_what_the_models_rule_said(probability, label, by_rule) -> None:
    finding = calibrated(make_finding(probability), of_site())
    verdict = finding.verdict
    assert (verdict.label, verdict.by_rule, verdict.probability) == (label, by_rule, probability)
    assert verdict.calibration == "Example Hospital, 200 studies, 2026-03-01"
    assert verdict.explanation.startswith("It is so. By the calibration of Example Hospital, 200 studies, 2026-03-01")
    assert ("outside what this site's calibration supports" in verdict.explanation) == (label == "indeterminate")
    (promise,) = [notice for notice in finding.warnings if notice.code == "site-calibration"]
    assert "at least 90 % have the finding" in promise.text
    assert "as long as about 30 % of the studies have the finding" in promise.text


def test_a_calibrated_finding_is_the_same_after_a_trip_through_its_file(tmp_path: Path) -> None:
    from AcuteFindingsLib.detectors.finding import load_finding

    finding = calibrated(make_finding(0.3), of_site())
    assert load_finding(finding.save(tmp_path)).verdict == finding.verdict


@pytest.mark.parametrize(
    ("changes", "calibration", "severity"),
    [
        ({"phantom": True}, {}, "info"),
        ({}, {"phantoms": True}, "warn"),
        ({"warnings": (Notice("no-contrast", "refuse", "No."),)}, {}, "warn"),
        ({"threshold": 0.6}, {}, "warn"),
    ],
)
def test_a_calibration_that_does_not_cover_a_study_leaves_its_verdict_and_says_so(
    changes, calibration, severity
) -> None:
    finding, site = make_finding(0.6, **changes), of_site(**calibration)
    said = unsuited(finding, site)
    assert (said.code, said.severity) == ("calibration-not-applied", severity)
    study = SimpleNamespace()
    kind = SimpleNamespace(reasons="", features="", id="hemorrhage")
    card = SimpleNamespace(training_data=SimpleNamespace(phantoms_only=False))
    package = SimpleNamespace(sha256=SHA256, card=card)
    weighed = weigh(finding, study, kind=kind, package=package, calibration=site)
    assert weighed.verdict.label == "positive"
    assert weighed.verdict.calibration == ""
    assert said in weighed.warnings


# Where it lies


def test_what_is_written_is_read_back(own_account: Path) -> None:
    site = of_site()
    assert site_files.read_calibration(site_files.write_calibration(site, own_account / "site.json")) == site
    site_files.install_calibration(site)
    found, said = site_files.find_calibration(None, "hemorrhage", site.model)
    assert (found, said) == (site, ())
    assert site_files.find_calibration("none", "hemorrhage", site.model) == (None, ())
    assert site_files.find_calibration(None, "pe", site.model) == (None, ())


@pytest.mark.parametrize(
    ("detector", "model"),
    [
        ("pe", {}),
        ("hemorrhage", {"id": "other-model"}),
        ("hemorrhage", {"sha256": "cd" * 32}),
        ("hemorrhage", {"version": "1.1"}),
    ],
)
def test_a_named_calibration_of_another_model_is_refused(own_account: Path, detector: str, model: dict) -> None:
    file = site_files.write_calibration(of_site(), own_account / "site.json")
    other = of_site().model.model_copy(update=model)
    with pytest.raises(CalibrationError, match=r"some-model 1\.0"):
        site_files.find_calibration(str(file), detector, other)


def test_an_installed_calibration_of_other_weights_is_not_applied_and_is_warned_of(own_account: Path) -> None:
    site_files.install_calibration(of_site())
    newer = ModelIdentity("some-model", "2.0", "cd" * 32, "elsewhere")
    found, (said,) = site_files.find_calibration(None, "hemorrhage", newer)
    assert found is None
    assert (said.code, said.severity) == ("calibration-of-another-model", "warn")


def test_a_site_that_has_changed_is_warned_of_until_it_is_calibrated_again(own_account: Path) -> None:
    site = of_site()
    site_files.install_calibration(site)
    site_files.note_change(site, "noise is higher", since=date(2026, 5, 4))
    found, (said,) = site_files.find_calibration(None, "hemorrhage", site.model)
    assert found == site
    assert (said.code, said.severity) == ("site-changed", "warn")
    assert "2026-05-04" in said.text
    assert "noise is higher" in said.text
    again = of_site(made=date(2026, 6, 1))
    site_files.install_calibration(again)
    assert site_files.find_calibration(None, "hemorrhage", site.model) == (again, ())
    site_files.forget_change(site)
    site_files.install_calibration(site)
    assert site_files.find_calibration(None, "hemorrhage", site.model) == (site, ())


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("promise"),
        lambda data: data.update(negative_below=0.9),
        lambda data: data.update(temperature=0),
        lambda data: data.update(positive_from=float("nan")),
        lambda data: data.update(format=2),
        lambda data: data.update(site="two\nlines"),
        lambda data: data.update(detector="../pe"),
        lambda data: data.update(further=1),
    ],
)
def test_a_damaged_calibration_is_refused_in_one_sentence(own_account: Path, change) -> None:
    data = json.loads(of_site().model_dump_json())
    change(data)
    file = own_account / "site.json"
    file.write_text(json.dumps(data))
    with pytest.raises(CalibrationError, match=r"is not a calibration that this version can read"):
        site_files.read_calibration(file)
    for text in ("", "[]", "nothing", "{" * 50):
        file.write_text(text)
        with pytest.raises(CalibrationError):
            site_files.read_calibration(file)
    with pytest.raises(CalibrationError):
        site_files.read_calibration(own_account / "missing.json")


# How it is made


def test_results_and_truth_become_a_calibration(tmp_path: Path) -> None:
    present, probabilities = scores(160, prevalence=0.4, apart=5.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    results = read_site_results(tmp_path / "results", truth, "hemorrhage")
    assert (results.count, results.positives) == (160, present.sum())
    np.testing.assert_array_equal(results.present, present)
    site = make_calibration(results, PROMISE, site="Here", repeats=5)
    assert 0 < site.negative_below <= site.positive_from < 1
    assert site.called_positive == (probabilities >= site.positive_from).sum()
    assert [one.probability for one in site.studies] == sorted(probabilities, reverse=True)
    assert all(one.features == {"noise": pytest.approx(10 * one.probability)} for one in site.studies)
    assert site.held.repeats == 5
    # Nobody's name, place or number is in it.
    assert not [word for word in ("study-0", "1.2.3.") if word in site.model_dump_json()]


def test_too_few_studies_are_refused_with_how_many_are_needed(tmp_path: Path) -> None:
    present, probabilities = scores(60, prevalence=0.5, apart=9.0, seed=1)
    results = read_site_results(tmp_path / "results", write_results(tmp_path, present, probabilities), "hemorrhage")
    with pytest.raises(CalibrationError, match=r"98 % for negative verdicts .* at least 114 .*About 2\d0 studies"):
        make_calibration(results, PROMISE.model_copy(update={"negative": 0.98}), site="Here")
    rates = Promise(kind="error rates", positive=0.9, negative=0.98, confidence=0.9)
    with pytest.raises(CalibrationError, match=rf"at least 114 with the finding \(there are {present.sum()}\)"):
        make_calibration(results, rates, site="Here")


def test_a_model_that_is_not_good_enough_is_refused_however_many_studies_there_are(tmp_path: Path) -> None:
    present, probabilities = scores(80, prevalence=0.5, apart=0.3, seed=1)
    results = read_site_results(tmp_path / "results", write_results(tmp_path, present, probabilities), "hemorrhage")
    with pytest.raises(CalibrationError, match=r"even 1000 would not do: the model makes too many errors"):
        make_calibration(results, PROMISE, site="Here")


@pytest.mark.parametrize(("one", "word"), [(True, "have"), (False, "lack")])
def test_studies_of_one_class_alone_are_refused(tmp_path: Path, one: bool, word: str) -> None:
    present, probabilities = np.full(20, one), np.linspace(0.1, 0.9, 20)
    results = read_site_results(tmp_path / "results", write_results(tmp_path, present, probabilities), "hemorrhage")
    with pytest.raises(CalibrationError, match=rf"all that can be used \(20 studies\) {word} it"):
        make_calibration(results, PROMISE, site="Here")


def test_refused_unlike_and_further_studies_of_a_patient_are_left_out_and_said(tmp_path: Path) -> None:
    present, probabilities = scores(40, prevalence=0.5, apart=4.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    folder = tmp_path / "results"
    unlike = Likeness("unlike", 2.0, features={"noise": 1.0})
    demonstration = ModelIdentity("some-model", "1.0", SHA256, "phantoms", never_saw="a patient")
    make_finding(0.5, likeness=unlike, model=demonstration).save(folder / "study-000")
    make_finding(0.5, likeness=unlike).save(folder / "study-002")
    make_finding(0.5, warnings=(Notice("no-contrast", "refuse", "No."),)).save(folder / "study-001")
    lines = truth.read_text().splitlines()
    patients = ["patient", *(str(number // 2) for number in range(40))]
    truth.write_text("\n".join(f"{line},{patient}" for line, patient in zip(lines, patients, strict=True)))
    results = read_site_results(folder, truth, "hemorrhage")
    assert results.count == 19
    said = " ".join(results.notices)
    assert "1 study left out: unlike the phantoms" in said
    assert "the check refused it" in said
    assert "19 studies left out: further ones of the same patients" in said


def test_results_of_two_models_or_of_patients_and_phantoms_make_no_calibration(tmp_path: Path) -> None:
    present, probabilities = scores(20, prevalence=0.5, apart=4.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    own = make_finding().model
    for change, word in (
        ({"model": ModelIdentity(own.id, own.version, "cd" * 32, own.trained_on)}, "2 models"),
        ({"phantom": True}, "1 phantom and of 19 patients"),
        ({"threshold": 0.6}, "2 operating points"),
    ):
        make_finding(0.5, **change).save(tmp_path / "results" / "study-000")
        with pytest.raises(CalibrationError, match=word):
            read_site_results(tmp_path / "results", truth, "hemorrhage")


def test_a_calibration_keeps_no_more_of_the_headers_than_a_finding_states(tmp_path: Path) -> None:
    """Whatever else stands in a finding's file, such as a name that somebody added."""
    present, probabilities = scores(4, prevalence=0.5, apart=4, seed=1)
    truth = write_results(tmp_path, present, probabilities, acquisition=Acquisition("CT", kernel="H31s"))
    file = tmp_path / "results" / "study-000" / "finding.json"
    data = json.loads(file.read_text())
    data["acquisition"]["patient"] = "Jane Doe"
    file.write_text(json.dumps(data))
    studies = read_site_results(tmp_path / "results", truth, "hemorrhage").studies
    assert {study.acquisition["kernel"] for study in studies} == {"H31s"}
    assert not any("patient" in study.acquisition for study in studies)


def test_results_of_other_detectors_are_passed_over_and_none_at_all_refused(tmp_path: Path) -> None:
    present, probabilities = scores(20, prevalence=0.5, apart=4.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    make_finding(detector="pe").save(tmp_path / "results" / "study-000")
    assert read_site_results(tmp_path / "results", truth, "hemorrhage").count == 19
    with pytest.raises(CalibrationError, match="no result for pneumothorax"):
        read_site_results(tmp_path / "results", truth, "pneumothorax")
    (tmp_path / "results" / "study-003" / "finding.json").write_text("{}")
    with pytest.raises(EvaluationError, match="is not a finding of this version"):
        read_site_results(tmp_path / "results", truth, "hemorrhage")


def test_studies_of_a_batch_are_known_by_their_study_uid(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / "results" / f"{number:020x}"
        make_finding(0.1 + 0.1 * number, series_instance_uid="").save(folder)
        (folder / "record.json").write_text(json.dumps({"study_uid": f"1.9.{number}"}))
    truth = tmp_path / "truth.csv"
    truth.write_text("study_instance_uid,bleed\n" + "".join(f"1.9.{n},{int(n > 2)}\n" for n in range(6)))
    results = read_site_results(tmp_path / "results", truth, "hemorrhage", column="bleed")
    np.testing.assert_array_equal(results.present, [False] * 3 + [True] * 3)


# The command


def test_the_command_prints_what_was_promised_and_held_and_installs(tmp_path: Path, command) -> None:
    present, probabilities = scores(160, prevalence=0.4, apart=5.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    out = tmp_path / "site.json"
    options = ("--truth", truth, "--kind", "hemorrhage", "--npv", "0.95", "--site", "A [b]", "--out", out)
    status, said, error = command("calibrate", tmp_path / "results", *options)
    assert status == 0, error
    assert "of those called negative at least 95 % do not, each with 90 % confidence" in " ".join(said.split())
    assert "in repeated splits" in said
    assert (tmp_path / "site.html").read_text().count("indeterminate") > 2
    assert site_files.find_calibration(None, "hemorrhage", site_files.read_calibration(out).model) == (None, ())
    assert command("calibrate", out, "--install")[0] == 0
    site = site_files.read_calibration(out)
    assert site_files.find_calibration(None, "hemorrhage", site.model)[0] == site
    status, said, _ = command("calibrate", tmp_path / "results", *options, "--json")
    data = json.loads(said)
    assert data["figures"][0]["promised"] == "≥ 0.9"
    assert "studies" not in data


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--ppv", "0.9", "--sensitivity", "0.9"), "not both"),
        (("--sensitivity", "0.9"), "both --sensitivity and --specificity"),
        (("--average",), "--average goes with"),
        (("--site", " "), "1 to 64 characters"),
        (("--out", "site.txt"), "ends in .json"),
    ],
)
def test_wishes_that_do_not_fit_together_end_in_a_sentence(tmp_path: Path, command, options, word) -> None:
    present, probabilities = scores(20, prevalence=0.5, apart=5.0, seed=1)
    truth = write_results(tmp_path, present, probabilities)
    given = ("--truth", truth, "--kind", "hemorrhage", "--out", tmp_path / "site.json", *options)
    status, _, error = command("calibrate", tmp_path / "results", *given)
    assert status == 2
    assert word in error


def test_a_damaged_calibration_is_refused_before_the_study_is_read(tmp_path: Path, command) -> None:
    (tmp_path / "site.json").write_text("{}")
    options = ("--calibration", tmp_path / "site.json", "--out", tmp_path / "out")
    status, _, error = command("run", tmp_path / "no-such-study", *options)
    assert status == 2
    assert "is not a calibration" in error


def test_batches_read_again_what_another_calibration_was_installed_for(own_account: Path) -> None:
    from AcuteFindingsLib.worklist import reading

    reading._calibrations.cache_clear()
    settings = reading.ReadSettings(own_account / "out")
    before = settings.asked("hemorrhage"), settings.asked("pe")
    assert before[0] == "model= dicom=0"
    site = of_site()
    site_files.install_calibration(site)
    reading._calibrations.cache_clear()
    assert settings.asked("hemorrhage") == f"calibration={site.digest} model= dicom=0"
    assert settings.asked("pe") == before[1]
    file = site_files.write_calibration(site, own_account / "site.json")
    named = reading.ReadSettings(own_account / "out", calibration=str(file))
    assert named.asked("hemorrhage") == settings.asked("hemorrhage")
    assert (named.calibration_of("hemorrhage"), named.calibration_of("pe")) == (str(file), None)
    for_pe = reading.ReadSettings(own_account / "out", "pe", calibration=str(file))
    assert for_pe.calibration_of("pe") == str(file)
    none = reading.ReadSettings(own_account / "out", calibration="none")
    assert (none.calibration_of("pe"), none.asked("pe")) == ("none", "calibration=none model= dicom=0")


def test_a_run_is_calibrated_by_what_is_installed_or_named(tmp_path: Path, command) -> None:
    from AcuteFindingsLib.jobs.arrays import load_result, save_study
    from AcuteFindingsLib.jobs.detect import detect
    from AcuteFindingsLib.jobs.messages import Request
    from AcuteFindingsLib.jobs.tools import Tools
    from AcuteFindingsLib.jobs.worker_jobs import detect as detect_job
    from AcuteFindingsLib.models.find import default_package

    assert command("phantom", "chest-xray", "--out", tmp_path / "studies", "--seed", "3", "--positive")[0] == 0
    folder = next((tmp_path / "studies").rglob("*.dcm")).parent
    study = read_study(folder, requirements=find_kind("pneumothorax").requirements)
    package = default_package(find_kind("pneumothorax").task.made_for)

    def verdict(**wishes: object) -> Verdict:
        return detect(study, "pneumothorax", started=0.0, **wishes)[0].verdict

    plain = verdict()
    model = CalibratedModel(id=package.id, version=package.version, sha256=package.sha256, threshold=plain.threshold)
    site = of_site(detector="pneumothorax", model=model, phantoms=True, negative_below=0.0, positive_from=1.5)
    site_files.install_calibration(site)
    after = verdict()
    assert (after.label, after.by_rule) == ("indeterminate", plain.label)
    assert (after.calibration, after.probability) == (site.name, plain.probability)
    assert verdict(calibration="none") == plain
    other = site_files.write_calibration(of_site(), tmp_path / "other.json")
    options = ("--detector", "pneumothorax", "--out", tmp_path / "out", "--calibration", other)
    status, _, error = command("run", folder, *options)
    assert status == 2
    assert "calibrates hemorrhage by the model some-model" in error
    # Slicer's worker does the same; a request may name one, too.
    fields = {
        "study": str(save_study(study, tmp_path / "study")),
        "detector": "pneumothorax",
        "out": str(tmp_path / "o"),
    }
    worked = detect_job(Request(1, "detect", fields), Tools(no_progress, never_cancelled))
    assert load_result(Path(worked["finding"]).parent).verdict.calibration == site.name
    with pytest.raises(CalibrationError, match="calibrates hemorrhage"):
        detect_job(Request(2, "detect", {**fields, "calibration": str(other)}), Tools(no_progress, never_cancelled))
