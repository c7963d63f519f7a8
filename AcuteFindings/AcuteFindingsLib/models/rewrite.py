"""Packages of an earlier version brought up to date: ``python -m AcuteFindingsLib.models.rewrite [FOLDER]``.

Every package of the folder (by default those that ship) gets the configuration and metadata that `write_package` writes
today, with the same weights and card; then the folder's catalogue is brought up to date.
"""

import sys
from pathlib import Path

from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.models.download.mirror import refresh_catalogue
from AcuteFindingsLib.models.files import METADATA
from AcuteFindingsLib.models.write import rewrite_package
from AcuteFindingsLib.resources import resource_path


def main(arguments: list[str]) -> int:
    """Rewrite, tell what was done, and return the exit status."""
    try:
        folder = Path(arguments[0]) if arguments else resource_path("Models")
        for place in sorted(folder.iterdir()):
            if not place.name.startswith(".") and (place / METADATA).is_file():
                print(rewrite_package(place).id)
        print(refresh_catalogue(folder))
    except (AcuteFindingsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
