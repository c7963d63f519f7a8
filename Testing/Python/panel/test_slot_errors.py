"""What goes wrong in a slot is told in one sentence, and its log holds no name."""

from pathlib import Path

import pytest

from AcuteFindingsLib.errors import StudyError

NAME = "Mustermann^Erika"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr("slicer.util.errorDisplay", lambda text, **_keywords: said.append(text))
    monkeypatch.setenv("HOME", str(tmp_path))
    return said


def test_an_error_in_a_buttons_slot_is_told_and_logged_without_its_message(told: list[str], tmp_path: Path) -> None:
    from AcuteFindingsLib.widgets.parts import push_button

    def fail() -> None:
        raise KeyError(NAME)

    push_button("Run", "", fail, name="run").click()
    (text,) = told
    assert "unexpected" in text
    (log,) = tmp_path.rglob("error-*.log")
    assert str(log) in text
    assert NAME not in log.read_text(encoding="utf-8")


def test_an_expected_error_is_its_own_sentence_and_full_memory_says_what_to_do(told: list[str], tmp_path: Path) -> None:
    from AcuteFindingsLib.widgets.last_resort import guarded

    def fail(error: Exception) -> None:
        raise error

    guarded(fail, doing="test")(StudyError("The study is empty."))
    guarded(fail, doing="test")(MemoryError())
    assert told[0] == "The study is empty."
    assert "memory" in told[1]
    assert not list(tmp_path.rglob("error-*.log"))
