"""What all pages share: one frame, data as data, nothing from elsewhere, files whole or untouched."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.errors import ExportError
from AcuteFindingsLib.evaluation.report import render_agreement
from AcuteFindingsLib.evaluation.schema import Agreement, Figure, LabelAgreement, PairAgreement
from AcuteFindingsLib.pages.page import picture_source, pixels_source, render, write_page

WICKED = '"><script>alert(1)</script>{{ 7 * 7 }}'
MADE = datetime(2026, 3, 1, 8, 5, tzinfo=UTC)


class Read(HTMLParser):
    """Tags and text, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_data(self, data) -> None:
        self.text += data


def run_page(name: str) -> str:
    row = SimpleNamespace(
        metric=name, mean=0.9, spread=0.0, values=(0.9,), intervals=((0.8, 1.0),), counts=(9,), published=None
    )
    recipe = SimpleNamespace(id=name, title=name, source=name, published=())
    return render("run.html.jinja", made=MADE, recipe=recipe, rows=[row], folds=[], curves=None)


def agreement_page(name: str) -> str:
    kappa = Figure(value=0.5, count=9)
    pairs = [
        PairAgreement(
            first=first,
            second=second,
            cases=9,
            both=3,
            only_first=1,
            only_second=1,
            neither=4,
            observed=0.8,
            kappa=kappa,
        )
        for first, second in ((name, "b"), (name, "c"), ("b", "c"))
    ]
    label = LabelAgreement(label=name, sets={name: 4, "b": 4, "c": 4}, pairs=pairs, fleiss=kappa, disagreements=[])
    result = Agreement(sets=[name, "b", "c"], software="1", labels=[label], notices=[name])
    return render_agreement(result, made=MADE)


@pytest.mark.parametrize("kind", ["run", "agreement"])
def test_names_out_of_files_are_text_on_every_page(kind: str) -> None:
    page = run_page(WICKED) if kind == "run" else agreement_page(WICKED)
    seen = Read(page)
    assert "script" not in seen.tags
    assert WICKED in seen.text
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)


def test_every_page_says_what_it_is_for_and_when_it_was_made() -> None:
    for page in (run_page("Recipe"), agreement_page("effusion")):
        text = Read(page).text
        assert text.count(RESEARCH_USE_ONLY) == 2
        assert "2026-03-01 08:05 UTC" in text
        assert "@media print" in text
        assert "prefers-color-scheme: dark" in text


def test_a_page_does_not_remember_what_an_earlier_one_was_made_of() -> None:
    first = run_page("one")
    assert run_page("two") != first
    assert run_page("one") == first


def test_a_picture_stands_inside_its_page(tmp_path) -> None:
    source = pixels_source(np.zeros((2, 3, 3), np.uint8))
    assert source.startswith("data:image/png;base64,iVBOR")
    with pytest.raises(ExportError, match=r"a\.tif is not a PNG or JPEG"):
        picture_source(tmp_path / "a.tif")
    with pytest.raises(ExportError, match=r"a\.png could not be read"):
        picture_source(tmp_path / "a.png")


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    assert write_page("text", tmp_path / "new" / "page.html").read_text() == "text"
    with pytest.raises(ExportError, match=r"page\.html could not be written: .* make room"):
        write_page("text", tmp_path / "new" / "page.html" / "page.html")
