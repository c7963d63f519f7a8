"""The contract between this extension's files and Slicer: what they name must be there, as far as can be read off."""

import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[2]
for folder in (TESTING / "Host", Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
