"""The page's files: nothing of elsewhere is loaded, no text becomes markup, what is vendored is what was published."""

import hashlib
import json
import re

import pytest

pytest.importorskip("fastapi")

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.serve.access import PAGE_POLICY
from AcuteFindingsLib.serve.app import PAGE, PAGE_STYLE

OWN = sorted(path for path in PAGE.iterdir() if path.suffix in (".js", ".html", ".css"))
VENDOR = PAGE / "vendor"


def test_the_vendored_module_is_the_one_that_its_note_names():
    note = json.loads((VENDOR / "niivue.json").read_text())
    content = (VENDOR / note["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == note["sha256"]
    assert f'"{note["version"]}"'.encode() in content


def test_the_license_of_everything_vendored_is_there():
    licenses = (VENDOR / "niivue-licenses.txt").read_text()
    sources = set(
        re.findall(r"^// (?:\.\./)*node_modules/((?:@[\w-]+/)?[\w.-]+)/", (VENDOR / "niivue.js").read_text(), re.M)
    )
    assert len(sources) > 3
    assert [name for name in ("NiiVue", *sorted(sources)) if name not in licenses] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup_or_code(path):
    text = path.read_text()
    addresses = re.findall(r"https?://[^\s\"'`)]+", text)
    assert [one for one in addresses if one != "http://www.w3.org/2000/svg"] == []
    markup = r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\b|new Function|ContextualFragment|DOMParser"
    assert re.findall(markup, text) == []


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".html"], ids=lambda path: path.name)
def test_pages_say_what_they_are_for_and_hold_neither_scripts_nor_styles_of_their_own(path):
    text = path.read_text()
    assert RESEARCH_USE_ONLY in text
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


def test_every_file_that_the_page_names_is_there():
    named = set()
    for path in OWN:
        named |= set(re.findall(r'from "\./([\w./-]+)"', path.read_text()))
        named |= set(re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css|svg))"', path.read_text()))
    assert {"vendor/niivue.js", "main.js", "page.css"} <= named
    assert [name for name in sorted(named) if not (PAGE_STYLE if name == "base.css" else PAGE / name).is_file()] == []


def test_the_policy_allows_scripts_and_styles_of_the_server_alone():
    rules = dict(rule.split(maxsplit=1) for rule in PAGE_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
