"""The command that counts false alarms on phantoms before and after reasons, in small."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    """What the command's file defines."""
    return runpy.run_path(str(ROOT / "Tools" / "reasons" / "false_alarms.py"))


def test_reasons_take_a_false_alarm_back_and_leave_a_bleed(tool: dict[str, Any]) -> None:
    false = tool["counts"]("hemorrhage", ("shunt",), positive=False, count=1, seed=500_004)
    assert (false["before"], false["after"]) == (1, 0)
    right = tool["counts"]("hemorrhage", (), positive=True, count=1, seed=600_001)
    assert (right["before"], right["after"]) == (1, 1)


def test_counts_are_told_with_their_exact_interval(tool: dict[str, Any]) -> None:
    assert tool["interval"](0, 20) == "0/20 (0%, 0% to 17%)"
