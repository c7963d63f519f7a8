"""On how many threads is computed, and that work side by side gives what work one after the other gives."""

import os
import threading
from pathlib import Path

import pytest

from AcuteFindingsLib import threads
from AcuteFindingsLib.threads import core_count, side_by_side, thread_count, use_threads


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No environment, eight cores, no container; what a test sets is gone afterwards."""
    for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)


def test_all_cores_that_this_process_may_use_compute_by_default() -> None:
    assert thread_count() == core_count() == 8


def test_without_an_affinity_the_cores_of_the_machine_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert core_count() == 6


@pytest.mark.parametrize(
    ("said", "cores"), [("200000 100000\n", 2), ("max 100000\n", 8), ("50000 100000\n", 1), ("9900000 100000\n", 8)]
)
def test_the_share_of_a_container_limits_them(tmp_path: Path, said: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(said)
    assert core_count() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_so_does_that_of_an_older_system(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert core_count() == cores


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("4,2", 4), ("0", 8), ("many", 8), ("", 8)])
def test_the_environment_says_how_many(monkeypatch: pytest.MonkeyPatch, said: str, count: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert thread_count() == count


def test_a_number_that_was_asked_for_holds_for_this_process_and_those_it_starts() -> None:
    use_threads(None)
    assert "OMP_NUM_THREADS" not in os.environ
    use_threads(5)
    assert thread_count() == 5
    assert os.environ["OMP_NUM_THREADS"] == os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == "5"


def test_pytorch_that_is_here_already_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    use_threads(3)
    assert told == [3]


@pytest.mark.parametrize("said", ["1", "3"])
def test_work_side_by_side_keeps_the_order(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert side_by_side(lambda number: number * number, range(50)) == [number * number for number in range(50)]
    assert side_by_side(lambda number: number, []) == []


def test_work_side_by_side_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    both = threading.Barrier(2, timeout=10)
    assert side_by_side(lambda number: both.wait() >= 0 and number, [1, 2]) == [1, 2]


@pytest.mark.parametrize("said", ["1", "4"])
def test_the_first_error_of_work_side_by_side_is_raised(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)

    def work(number: int) -> int:
        if number in (3, 5):
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="3"):
        side_by_side(work, range(8))
