"""From the name of an engine to the engine."""

from AcuteFindingsLib.errors import EngineError
from AcuteFindingsLib.worklist.engines.engine import Engine

ENGINES = ("local",)
"""Names as on the command line."""


def make_engine(name: str, *, workers: int | None = None) -> Engine:
    """Return an engine that reads so many examinations at once; one when None.

    Raises
    ------
    EngineError
        There is no such engine, or what it needs is not installed.
    """
    if name == "local":
        from AcuteFindingsLib.worklist.engines.local import LocalEngine

        return LocalEngine(workers or 1)
    raise EngineError(f"There is no engine {name!r}; choose one of {', '.join(ENGINES)}.")
