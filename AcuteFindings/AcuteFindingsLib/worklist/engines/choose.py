"""From the name of an engine to the engine."""

from collections.abc import Mapping

from AcuteFindingsLib.errors import EngineError
from AcuteFindingsLib.worklist.engines.engine import Engine
from AcuteFindingsLib.worklist.words import ENGINES


def make_engine(
    name: str,
    *,
    workers: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    options: Mapping[str, str] | None = None,
    keep: bool = False,
) -> Engine:
    """Return an engine.

    Parameters
    ----------
    name
        One of `ENGINES`.
    workers
        How many examinations are read at once; when None one on this computer, as many as fit on a cluster.
    address, gpus
        As `ray.RayEngine` takes them.
    options
        As `slurm.SlurmEngine` takes them.
    keep
        As `local.LocalEngine` takes it; clusters start their workers for each run.

    Raises
    ------
    EngineError
        There is no such engine, or what it needs is not installed.
    """
    if name == "local":
        from AcuteFindingsLib.worklist.engines.local import LocalEngine

        return LocalEngine(workers or 1, keep=keep)
    if name == "ray":
        from AcuteFindingsLib.worklist.engines.ray import RayEngine

        return RayEngine(workers or 0, address=address, gpus=gpus)
    if name == "slurm":
        from AcuteFindingsLib.worklist.engines.slurm import SlurmEngine

        return SlurmEngine(workers or 1, options=options)
    raise EngineError(f"There is no engine {name!r}; choose one of {', '.join(ENGINES)}.")
