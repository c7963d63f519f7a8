#!/usr/bin/env bash
# The environment in which the tests run TotalSegmentator: made by the same code that makes it for a user.
# make_environment.sh PYTHON FOLDER
set -euo pipefail
"$1" - "$2" <<'PY'
import sys
from pathlib import Path

from AcuteFindingsLib.providers.install import install
from AcuteFindingsLib.providers.registry import find_terms

print(install(find_terms("totalsegmentator"), folder=Path(sys.argv[1])))
PY
