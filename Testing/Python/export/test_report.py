import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.detectors.finding import Likeness, Measurement, Reason, Verdict
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.export.report import render_report, write_report
from AcuteFindingsLib.models.metadata import Origin, Published, TrainingData
from AcuteFindingsLib.study.notice import Notice

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: every element with its attributes, the text, and whether it is well nested."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open, self.text, self.hidden = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            (self.hidden if "details" in self.open else self.text).append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def in_details(self):
        return " ".join(" ".join(self.hidden).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def render(study, package, pictures):
    def _render(finding, **changes):
        source = render_report(finding, **{"study": study, "package": package, "pictures": pictures, **changes})
        return source, Page(source)

    return _render


@pytest.fixture
def chest(radiograph, radiograph_study, chest_packages, render):
    own, companion = chest_packages
    return render(radiograph, study=radiograph_study, package=own, companions=(companion,))[1]


def test_the_report_is_written_in_the_folder_and_nothing_else_is_left(finding, study, package, pictures, tmp_path):
    out = tmp_path / "out"
    path = write_report(finding, study=study, package=package, pictures=pictures, folder=out)
    assert path == out / "report.html"
    assert [item.name for item in out.iterdir()] == ["report.html"]
    Page(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["positive", "negative", "radiograph"])
def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing(kind, finding, negative, radiograph, render):
    source, page = render({"positive": finding, "negative": negative, "radiograph": radiograph}[kind])
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", re.sub(r"base64,[A-Za-z0-9+/=]+", "", source))
    for tag in ("script", "link", "iframe", "object", "embed", "a"):
        assert not page.all(tag)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert all(str(attributes.get(name) or "data:").startswith("data:") for name in ("src", "href", "srcset"))


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_the_page_holds_nothing_that_names_the_patient(kind, finding, negative, render):
    source, _ = render(finding if kind == "positive" else negative)
    assert not re.search(r"doe|jane|/data", re.sub(r"base64,[A-Za-z0-9+/=]+", "", source), re.IGNORECASE)


def test_uids_stand_under_details_only(finding, render):
    _, page = render(finding)
    assert "1.2.826.0.1" not in page.words
    assert "1.2.826.0.1.3680043.8.498.2" in page.in_details
    assert all(item.sop_instance_uid in page.in_details for item in finding.slices)


def test_every_picture_is_inside_with_its_caption_and_a_text_for_the_blind(finding, pictures, render):
    _, page = render(finding)
    images = page.all("img")
    assert len(images) == len(pictures)
    assert {image["alt"] for image in images} == {picture.caption for picture in pictures}
    assert len({image["src"] for image in images}) == len(pictures)
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert all(picture.caption in page.words + page.in_details for picture in pictures)


def test_text_from_outside_is_escaped(finding, package, study, pictures, render):
    trap = '<script>alert("x")</script>'
    verdict = replace(finding.verdict, rule=trap, explanation=trap)
    measurement = Measurement(trap, 1.0, trap)
    card = package.card.model_copy(update={"title": trap, "license": trap, "limitations": trap})
    trapped = replace(package, metadata=package.metadata.model_copy(update={"acutefindings": card}))
    changed = replace(
        finding, verdict=verdict, measurements=(measurement,), warnings=(Notice(trap, "warn", trap),), detector=trap
    )
    dicom = replace(study.dicom, body_part=trap, manufacturer=trap, convolution_kernel=trap)
    source, page = render(
        changed,
        package=trapped,
        study=replace(study, dicom=dicom, regridded=trap),
        pictures=[replace(picture, caption=f'" onerror="{trap}') for picture in pictures],
    )
    assert not page.all("script")
    assert not [image for image in page.all("img") if "onerror" in image]
    assert source.lower().count("<script") == 0
    assert trap in page.words


def test_the_verdict_stands_in_words_with_probability_threshold_rule_and_explanation(finding, render):
    _, page = render(finding)
    for wanted in ("Positive", "0.87", "threshold 0.50", finding.verdict.rule, finding.verdict.explanation):
        assert wanted in page.words
    assert page.all("html")[0]["lang"] == "en"


def test_a_single_slice_of_ct_is_not_called_a_radiograph(finding, render):
    single = replace(finding, slices=finding.slices[:1], positive_runs=())
    page = render(single)[1]
    assert "Findings on the slice" in page.words
    assert "radiograph" not in page.words


@pytest.mark.slow
@pytest.mark.parametrize("label", ["positive", "negative", "indeterminate"])
def test_each_verdict_has_a_word_and_a_shape_of_its_own(finding, render, label):
    source, page = render(replace(finding, verdict=Verdict(label, 0.5, 0.5, "Rule.", "Why.")))
    assert label.upper() in page.words
    shape = re.search(r'class="shape".*?</svg>', source, re.DOTALL)[0]
    others = {"positive": "M20 3h24", "negative": "<circle", "indeterminate": "M32 4 61"}
    assert [name for name, mark in others.items() if mark in shape] == [label]


def test_research_use_only_stands_first_and_last(finding, render):
    _, page = render(finding)
    assert page.words.count(RESEARCH_USE_ONLY) == 2
    body = page.words.split("AcuteFindings report", 1)[1]
    assert body.strip().startswith(RESEARCH_USE_ONLY)
    assert RESEARCH_USE_ONLY in body[-200:]


@pytest.mark.slow
def test_warnings_are_sorted_by_severity_and_named_in_words(finding, render):
    notices = (Notice("c", "info", "Third."), Notice("b", "warn", "Second."), Notice("a", "refuse", "First."))
    _, page = render(replace(finding, warnings=notices))
    order = [page.words.index(text) for text in ("Does not fit", "First.", "Warning", "Second.", "Note", "Third.")]
    assert sorted(order[1::2]) == order[1::2]
    assert "Warnings" not in render(replace(finding, warnings=()))[1].words


def test_positive_runs_stand_in_slice_numbers_and_mm(finding, render):
    _, page = render(finding)
    assert "Slices 10 to 16 7 28.0 R 0.0, A 0.0, S 36.0 R 0.0, A 0.0, S 60.0" in page.words


def test_a_negative_stack_says_that_no_slice_is_positive(negative, render):
    _, page = render(negative)
    assert "No slice reaches the threshold of 0.50." in page.words
    assert "positive" not in page.in_details


def test_the_slice_table_has_every_slice_and_marks_positive_ones_in_words(finding, render):
    _, page = render(finding)
    assert page.in_details.count("▲ positive") == 7
    assert page.in_details.count("negative") == 21
    assert "All 28 slices" in page.in_details
    assert " 1 R 0.0, A 0.0, S 0.0 0" in page.in_details
    assert " 28 R 0.0, A 0.0, S 108.0 0" in page.in_details


def test_measurements_have_units_a_person_reads(finding, render):
    _, page = render(replace(finding, measurements=(*finding.measurements, Measurement("Area", 4120.4, "mm2"))))
    for wanted in (
        "Hemorrhage volume 23.4 mL Volume (SCT 118565006)",
        "Area 4120 mm²",
        "Highest slice probability: Any > 0.99",
    ):
        assert wanted in page.words


def test_series_facts_and_what_was_done_are_told(finding, render):
    _, page = render(finding)
    for wanted in (
        "Gantry tilt +18.5°",
        "Slice distance 4.00 mm; grid 4.00 mm",
        "Orientation axial",
        "Tube voltage 120 kV",
    ):
        assert wanted in page.words
    assert "Slices resampled to an upright grid because the gantry was tilted" in page.words
    assert "window level 40 and width 80 HU" in page.words


def test_an_unknown_pixel_size_is_said(finding, study, render):
    assert (
        "not stated (areas in mm² are left out)"
        in render(finding, study=replace(study, pixel_spacing_known=False))[1].words
    )


def test_the_model_is_told_with_figures_intervals_and_counts(finding, package, render):
    _, page = render(finding)
    for wanted in (
        "hemorrhage-demo 0.1.0",
        package.sha256,
        "Study AUC 0.982 0.961 to 0.996 120 Held-out phantoms",
        package.card.limitations,
        "Apache-2.0",
        "400 studies",
    ):
        assert wanted in page.words


@pytest.mark.slow
def test_figures_of_a_models_authors_are_told_as_theirs_with_its_address_and_revision(finding, package, render):
    published = [
        Published(
            metric="AUROC, series", label="any", value=0.9804, data="held out", count="989 patients", source="card"
        ),
        Published(metric="Emboli found", value=181, data="60 studies", count="209", source="card"),
    ]
    origin = Origin(file="hf:owner/name", sha256="0" * 64, form="hub", revision="abc123")
    card = package.card.model_copy(update={"published": published, "evaluation": [], "origin": origin})

    def with_card(card):
        return replace(package, metadata=package.metadata.model_copy(update={"acutefindings": card}))

    _, page = render(finding, package=with_card(card))
    assert "AUROC, series, any 0.980 not stated 989 patients held" in page.words
    assert "Emboli found 181 not stated 209 60 studies" in page.words
    assert "Not measured here. From card." in page.words
    assert "hf:owner/name, revision abc123" in page.words
    assert "states no evaluation" not in page.words
    local = card.model_copy(update={"origin": origin.model_copy(update={"file": "mine.pt"}), "published": []})
    _, page = render(finding, package=with_card(local))
    assert "mine.pt" not in page.words
    assert "states no evaluation" in page.words


@pytest.mark.slow
def test_a_model_trained_on_phantoms_is_flagged_at_the_verdict_and_one_trained_on_people_is_not(
    finding, make_package, render
):
    quiet = replace(finding, warnings=())
    assert render(quiet)[1].words.count("Trained on computer-made phantoms only.") == 2
    data = TrainingData(summary="RSNA", phantoms_only=False, count="7,297 people")
    trained = make_package("hemorrhage", finding.labels, training_data=data)
    assert "phantoms only" not in render(quiet, package=trained)[1].words


def test_a_radiograph_tells_findings_tubes_and_the_shortcut_check(chest):
    for wanted in (
        "Atelectasis 0.62 0.50 ▲ present",
        "Effusion 0.31 0.50 not found",
        "Chest drain 0.83 0.50 ▲ present",
        "Endotracheal < 0.01 0.50 not found",
        "Whole picture 0.91 ▲ reached",
        "Lungs only 0.55 ▲ reached",
        "Lungs removed 0.34 not reached",
        "Pneumothorax area, left 4120 mm²",
        "View AP",
        "(MONOCHROME1) and was turned back",
    ):
        assert wanted in chest.words
    assert chest.words.index("Tubes") < chest.words.index("Chest drain")
    assert "Probability: " not in chest.words
    assert "Further model: Demo model for chest" in chest.words


def test_a_radiograph_has_no_slice_table_and_no_chart(chest):
    for unwanted in ("Positive slices", "Probability of each slice", "Slice distance", "Gantry tilt"):
        assert unwanted not in chest.words
    assert not [svg for svg in chest.all("svg") if svg.get("class") == "chart"]


def test_headings_are_labeled_and_ids_are_unique(finding, render):
    _, page = render(finding)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {section["aria-labelledby"] for section in page.all("section")} <= set(ids)


@pytest.mark.slow
def test_a_stated_time_makes_the_page_the_same_every_time(finding, render):
    made = datetime(2026, 3, 1, 8, 5, tzinfo=UTC)
    first, page = render(finding, made=made)
    assert first == render(finding, made=made)[0]
    assert "2026-03-01 08:05 UTC" in page.words


def test_a_picture_that_is_missing_or_no_picture_is_named_and_no_report_is_left(
    finding, study, package, pictures, tmp_path
):
    pictures[1].path.unlink()
    with pytest.raises(ExportError, match=r"1\.png could not be read"):
        write_report(finding, study=study, package=package, pictures=pictures, folder=tmp_path / "out")
    wrong = replace(pictures[0], path=tmp_path / "a.svg")
    with pytest.raises(ExportError, match=r"a\.svg is not a PNG or JPEG"):
        write_report(finding, study=study, package=package, pictures=[wrong], folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_to_is_a_sentence(finding, study, package, pictures, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ExportError, match=r"report\.html could not be written"):
        write_report(finding, study=study, package=package, pictures=pictures, folder=blocked)


@pytest.mark.slow
def test_a_verdict_that_cannot_stand_alone_says_so_in_title_and_heading(finding, render):
    marked = replace(
        finding,
        model=replace(finding.model, never_saw="a patient"),
        warnings=(Notice("not-axial", "refuse", "The slices are coronal."),),
    )
    source, page = render(marked)
    assert page.words.startswith(
        "Intracranial hemorrhage: REFUSED, FORCED: POSITIVE · demonstration model, never saw a patient"
    )
    heading = source[source.index('<h2 id="verdict">') :].split("</h2>")[0]
    assert heading.index("REFUSED, FORCED") < heading.index("POSITIVE") < heading.index("never saw a patient")
    assert "demonstration" not in render(replace(marked, phantom=True))[1].words


@pytest.mark.slow
def test_pictures_enlarge_without_a_script(finding, render, pictures):
    source, _ = render(finding)
    assert source.count('<input type="checkbox" class="enlarge"') == len(pictures)
    assert "<script" not in source
    assert ".enlarge:checked + img" in source


def test_reasons_stand_below_the_pictures_with_their_bearing_and_source(render, finding):
    reason = Reason("dense", "against", "Outline 1 reaches <118> HU.", "docs/sources.md 4")
    unlike = Likeness("unlike", 2.0, "600 phantoms", ("much finer noise",))
    verdict = replace(finding.verdict, label="indeterminate", by_rule="positive")
    source, page = render(replace(finding, reasons=(reason,), likeness=unlike, verdict=verdict))
    assert "− Against Outline 1 reaches <118> HU. Where the rules come from: docs/sources.md 4." in page.words
    assert "This study is unlike the images that the model was made from" in page.words
    assert "By the model's rule alone: positive." in page.words
    assert page.words.index("Key pictures") < page.words.index("Against") < page.words.index("Probability of each")
    assert "&lt;118&gt;" in source


def test_a_finding_without_reasons_has_no_section_for_them(render, finding):
    assert "Reasons to check" not in render(finding)[1].words
