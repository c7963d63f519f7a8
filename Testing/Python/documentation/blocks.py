"""The fenced blocks of README, CONTRIBUTING and docs/, and what their words mean."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NO_RUN = "no-run"
_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=ticks)[ \t]*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:\A|\n)[ \t]*\n(?P<text> {4}\S[^\n]*)")
_LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its first line's number, its language, whether it runs, and its text."""

    page: str
    line: int
    language: str
    runs: bool
    text: str

    @property
    def name(self) -> str:
        """Return what the block is called in a test's name."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Return the words of each command of a ``sh`` block; comments are left out, continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


# The blocks of one are files of a package, those of the other ask a server: tests of their own run them
# (contract/test_add_a_detector.py, serve/test_web_docs.py).
_RUN_ELSEWHERE = {ROOT / "docs" / "add-a-detector.md", ROOT / "docs" / "web.md"}


def pages() -> list[Path]:
    """Return the pages for people."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(page for page in found if page not in _RUN_ELSEWHERE)]


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in its order."""
    return blocks_of(page.read_text(encoding="utf-8"), page=page.relative_to(ROOT).as_posix())


def blocks_of(text: str, *, page: str) -> list[Block]:
    """Return the blocks of a text."""
    found = []
    for match in _FENCE.finditer(text):
        language, *flags = match["info"].split() or [""]
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(page, line, language, NO_RUN not in flags, match["text"]))
    return found


def indented_code(text: str) -> list[str]:
    """Return the first lines of code that is set by indenting, which no test would see."""
    found, prose = [], _FENCE.sub("", text)
    for match in _INDENTED.finditer(prose):
        before = [line for line in prose[: match.start("text")].splitlines() if line.strip()]
        if not any(_LIST_ITEM.match(line) for line in before[-4:]):
            found.append(match["text"].strip())
    return found
