"""JSON from elsewhere, checked against the budgets before anything is built from it."""

import json
import re
from typing import Any

from AcuteFindingsLib.budgets import budgets

# A text up to its end, or to the end of the data where it has none, so that no start is looked at twice.
_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)


def parse_json(data: bytes) -> Any:
    """Return what UTF-8 JSON says.

    Raises
    ------
    ValueError
        Where it is no JSON, too long or nested too deep; the text goes after the name of what was read.
    """
    limits = budgets()
    if len(data) > limits.text_bytes:
        raise ValueError(f"is larger than {limits.text_bytes / 1e6:.0f} MB")
    depth = 0
    for mark in _MARKS.finditer(data):
        sign = mark.group()[:1]
        depth += (sign in b"[{") - (sign in b"]}")
        if depth > limits.nesting:
            raise ValueError(f"is nested deeper than {limits.nesting} levels")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python's own limit.
        raise ValueError("holds a number of too many digits") from None
