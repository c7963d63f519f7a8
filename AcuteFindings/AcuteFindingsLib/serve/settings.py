"""How the server runs."""

from dataclasses import dataclass, field
from pathlib import Path

from AcuteFindingsLib.serve.tokens import Token
from AcuteFindingsLib.worklist.engines.engine import MakeReader

API = "/api/v1"
"""Where the API begins; its number changes with what it says."""

API_VERSION = 1

READER: MakeReader = "AcuteFindingsLib.serve.reading:make_reader"


@dataclass(frozen=True)
class ServeSettings:
    """How the server runs.

    Attributes
    ----------
    results
        The folder of results, and of uploads below it.
    host, port
        Where it listens.
    tokens
        Who may ask; none where only this computer can reach it.
    device, model_folders
        As `worklist.reading.ReadSettings` has them.
    keep_days
        Days after which uploaded studies are removed; 0 keeps them.
    database
        Address of the list's database; in the folder of results when None.
    reader
        What workers do; another one in tests.
    """

    results: Path
    host: str = "127.0.0.1"
    port: int = 8080
    tokens: tuple[Token, ...] = ()
    device: str = "auto"
    model_folders: tuple[Path, ...] = field(default=())
    keep_days: float = 30.0
    database: str | None = None
    reader: MakeReader = READER
