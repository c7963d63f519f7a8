"""What the user has agreed to, by name: one small file, with the day and the checksum of the text."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.files import replace_when_written


@dataclass(frozen=True)
class Agreements:
    """The agreements that a file keeps.

    Attributes
    ----------
    file
        A JSON object; there need be none yet.
    error
        Raised where the file is damaged.
    """

    file: Path
    error: type[AcuteFindingsError]

    def has(self, name: str, sha256: str) -> bool:
        """Return whether the user has agreed to the text of this checksum; raises `error`."""
        entry = self._read().get(name)
        return isinstance(entry, dict) and entry.get("terms_sha256") == sha256

    def add(self, name: str, sha256: str) -> None:
        """Remember that the user has agreed today; raises `error`."""
        entry = {"terms_sha256": sha256, "date": datetime.now(UTC).date().isoformat()}
        self._write({**self._read(), name: entry})

    def remove(self, name: str) -> None:
        """Forget that the user has agreed; raises `error`."""
        self._write({kept: entry for kept, entry in self._read().items() if kept != name})

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self.error(f"{self.file} cannot be read ({error}); delete it and agree again.") from error
        if not isinstance(data, dict):
            raise self.error(f"{self.file} must hold one JSON object; delete it and agree again.")
        return data

    def _write(self, data: dict[str, Any]) -> None:
        with replace_when_written(self.file) as partial:
            partial.write_text(json.dumps(data, indent=2), encoding="utf-8")
