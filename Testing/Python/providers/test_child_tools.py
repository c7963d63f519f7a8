"""What the programs of providers share."""

import sys

import pytest

from AcuteFindingsLib.providers.own_process import CHILDREN


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(CHILDREN))
    import child_tools

    yield child_tools
    sys.modules.pop("child_tools")


def test_what_needs_more_memory_than_is_free_is_refused(tools, monkeypatch) -> None:
    monkeypatch.setattr(tools, "free_memory", lambda: 7e9)
    tools.require_memory(6.9e9, what="nnU-Net")
    with pytest.raises(tools.ChildError, match=r"nnU-Net needs about 12.0 GB .* 7.0 GB are free"):
        tools.require_memory(12e9, what="nnU-Net")
    monkeypatch.setattr(tools, "free_memory", lambda: None)
    tools.require_memory(12e9, what="nnU-Net")


def test_a_containers_share_counts(tools, tmp_path) -> None:
    system = tmp_path / "meminfo"
    system.write_text("MemTotal: 16000 kB\nMemAvailable:   8000 kB\n")
    assert tools.free_memory(system, tmp_path) == 8000 * 1024
    (tmp_path / "memory.current").write_text("1000000")
    (tmp_path / "memory.max").write_text("max")
    assert tools.free_memory(system, tmp_path) == 8000 * 1024
    (tmp_path / "memory.max").write_text("3000000")
    assert tools.free_memory(system, tmp_path) == 2_000_000
    assert tools.free_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("seconds", "done", "told"),
    [(60.0, 18, ""), (10.0, 1, ", about 3 min left"), (60.0, 2, ", about 9 min left"), (8.0, 2, ", about 72 s left")],
)
def test_the_time_left_is_told_where_it_is_worth_it(tools, seconds, done, told) -> None:
    assert tools.time_left(seconds, done, 20) == told
