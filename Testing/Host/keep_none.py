"""Keeps `None` alive under PySide 6.12 on Python 3.11.

PySide 6.12 counts on Python 3.12, where `None` and the truth values are never freed: each call that returns nothing
takes a reference to `None` that it was not given. On 3.11 the interpreter aborts after some thousand calls
("deallocating None"), so their counts are set so high there that it does not come to that.
"""

import ctypes
import sys

if sys.version_info < (3, 12):
    for _shared in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_shared)).value += 1 << 40
