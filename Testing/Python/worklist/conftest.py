"""Folders of studies, real and pretended; workers of engines find the pretended reader by its module's name."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import slurm_server  # noqa: E402


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a folder of files that the pretended reader reads, by their names."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)

    def make(*names: str) -> Path:
        folder = tmp_path / "studies"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / f"{name}.nii").write_text(name)
        return folder

    return make


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A real cluster of three node processes on this computer; yields its address."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """A real Slurm of one node; yields the variables by which its commands find it."""
    if not slurm_server.installed():
        pytest.skip("Slurm with munge is not installed, or this is not root")
    with slurm_server.server() as environment:
        yield environment
