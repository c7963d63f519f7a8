"""The small runs and data sets of the tests of runs serve here too."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE.with_name("runs"), HERE.with_name("data")):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from small_runs import data, one_thread  # noqa: E402, F401
