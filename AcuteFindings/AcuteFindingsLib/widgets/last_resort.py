"""Errors in slots: Qt calls them from its event loop, where nobody stands above who could tell the user."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.last_resort import expected, sentence, where_logged, write_log


def told(error: BaseException, *, doing: str) -> str:
    """Return the sentence for the panel; what nobody expected is logged, without what the files said."""
    text = sentence(error)
    if expected(error):
        return text
    path = write_log(error, doing=doing)
    logging.error("AcuteFindings: %s ended with %s; %s", doing, type(error).__name__, path or "no log could be written")
    return f"{text} {where_logged(path)}"


def guarded(slot: Callable[..., Any], *, doing: str) -> Callable[..., Any]:
    """Return a slot that shows what goes wrong in it as one sentence."""

    @wraps(slot)
    def call(*arguments: Any) -> Any:
        try:
            return slot(*arguments)
        except Exception as error:  # nobody stands above a slot
            slicer.util.errorDisplay(told(error, doing=doing), windowTitle=_("AcuteFindings"))
            return None

    return call
