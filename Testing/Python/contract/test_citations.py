"""Every number that the code cites as published stands in docs/sources.md under the section that it names."""

import re
import subprocess
from pathlib import Path

import pytest
from extension_files import ROOT

SOURCES = ROOT / "docs" / "sources.md"
CITATION = re.compile(r"docs/sources\.md(?:\s+#?\s*(?P<first>\d+)(?:\s(?P<link>to|and)\s(?P<last>\d+))?)?")
OWN = Path(__file__).name


def cited(text: str) -> list[set[int]]:
    """Return the sections that each citation of a text names; an empty set where it names none."""
    found = []
    for match in CITATION.finditer(text):
        if match["first"] is None:
            found.append(set())
            continue
        first, last = int(match["first"]), int(match["last"] or match["first"])
        found.append(set(range(first, last + 1)) if match["link"] == "to" else {first, last})
    return found


def citing_files() -> dict[str, str]:
    """Return the text of every Python file and recipe that cites a source."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.yaml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("git does not list the files here")
    paths = [name for name in listed.stdout.splitlines() if not name.endswith(OWN) and (ROOT / name).is_file()]
    texts = {name: (ROOT / name).read_text() for name in paths}
    return {name: text for name, text in texts.items() if re.search(r"sources\.md", text, re.IGNORECASE)}


def test_citations_are_read():
    text = "(docs/sources.md 1), docs/sources.md 2 and 4, (docs/sources.md 2 to 5), see docs/sources.md"
    assert cited(text) == [{1}, {2, 4}, {2, 3, 4, 5}, set()]


def test_every_citation_names_a_section_that_exists():
    sections = {int(number) for number in re.findall(r"^## (\d+)\. ", SOURCES.read_text(), re.MULTILINE)}
    assert sections == {*range(1, 14)}
    wrong = {
        name: numbers
        for name, text in citing_files().items()
        if (numbers := [section for section in cited(text) if not section or not section <= sections])
    }
    assert wrong == {}


def test_the_code_cites_the_page_of_this_repository():
    elsewhere = [name for name, text in citing_files().items() if re.search(r"SOURCES(\.md)? [1-9]", text)]
    assert elsewhere == []
    assert sum(len(cited(text)) for text in citing_files().values()) > 80
