"""Every fenced block of README, CONTRIBUTING and docs/ does what the page says."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from blocks import ROOT, Block, blocks_of, indented_code, pages, read_blocks

from AcuteFindingsLib import cli

# As many blocks cannot run here: Slicer, archives, downloads, trainings, clusters, other people's files and networks.
# Keep them few.
MOST_NOT_RUN = 30
LANGUAGES = {"sh", "python", "json", "yaml", "toml", "text"}
RUN = ("sh", "python")

BLOCKS = [block for page in pages() for block in read_blocks(page)]


def of(language: str, *, runs: bool | None = None) -> list:
    """Return blocks as parameters that are called by their page and line."""
    chosen = [block for block in BLOCKS if block.language == language and runs in (None, block.runs)]
    return [pytest.param(block, id=block.name) for block in chosen]


def command_of(words: list[str]):
    """Return the command that words name, and its arguments."""
    command, arguments, name = typer.main.get_command(cli.app), words[1:], "acutefindings"
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    return command, name, arguments


def assert_understood(words: list[str]) -> None:
    """Parse a command line of acutefindings without running it: names, options, numbers of arguments."""
    command, name, arguments = command_of(words)
    command.make_context(name, list(arguments), resilient_parsing=False).close()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_blocks_are_read_with_language_flags_and_lines():
    text = "# A\n\n```sh no-run\nls \\\n  -l  # all\n```\n\n```json\n{}\n```\n"
    first, second = blocks_of(text, page="a.md")
    assert (first.language, first.runs, first.line) == ("sh", False, 4)
    assert first.commands() == [["ls", "-l"]]
    assert (second.language, second.runs, second.name) == ("json", True, "a.md:9")
    assert indented_code("Then\n\n    make it\n") == ["make it"]
    assert indented_code("- Then\n\n    more of the item\n") == []


def test_every_block_states_its_language():
    assert {block.name: block.language for block in BLOCKS if block.language not in LANGUAGES} == {}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_code_is_hidden_from_these_tests_by_indenting_it(page: Path):
    assert indented_code(page.read_text(encoding="utf-8")) == []


def test_few_blocks_are_left_out():
    left_out = [block.name for block in BLOCKS if not block.runs]
    assert len(left_out) <= MOST_NOT_RUN, left_out


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.runs and block.language in RUN}))
def test_commands_and_python_of_a_page_run_one_after_the_other(page: str, shell: Callable[[list[str]], str]):
    for block in BLOCKS:
        if block.page == page and block.runs and block.language in RUN:
            try:
                if block.language == "python":
                    exec(compile(block.text, block.name, "exec"), {"__name__": "__main__"})
                else:
                    for words in block.commands():
                        shell(words)
            except BaseException as error:
                error.add_note(f"The block at {block.name} does not run.")
                raise


@pytest.mark.parametrize("block", of("sh", runs=False))
def test_commands_that_cannot_run_here_are_well_formed(block: Block):
    for words in block.commands():
        program, *arguments = words
        if program == "acutefindings":
            assert_understood(words)
        elif program == "make":
            targets = {word for word in arguments if "=" not in word}
            assert targets <= make_targets()
        elif program.endswith("python"):
            named = [word for word in arguments if word.startswith(("Testing/", "Tools/"))]
            assert [word for word in named if not (ROOT / word).exists()] == []


@pytest.mark.parametrize("block", of("python", runs=False))
def test_python_that_cannot_run_here_is_python(block: Block):
    compile(block.text, block.name, "exec")


@pytest.mark.parametrize("block", [*of("json"), *of("yaml"), *of("toml")])
def test_data_blocks_are_valid(block: Block):
    parse = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}[block.language]
    assert parse(block.text)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_wrong_option_in_a_block_is_found():
    with pytest.raises(Exception, match="--dtector"):
        assert_understood(["acutefindings", "run", "STUDY", "--out", "x", "--dtector", "pe"])
    with pytest.raises(AssertionError, match="walk"):
        assert_understood(["acutefindings", "walk"])
