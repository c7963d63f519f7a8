"""What a storage service's status codes mean (PS3.4 Annex B.2.3, PS3.7 Annex C, PS3.18 10.5)."""

_FAILURES = {
    0x0110: "the server could not process it",
    0x0117: "the server finds its identity invalid",
    0x0122: "the server does not store this kind of object",
    0x0124: "we are not allowed to store; ask the administrator to permit our AE title or login",
    0x0210: "the server is already busy with the same request",
    0x0213: "the server is out of resources",
    0x0272: "the server could not process it",
    0x012C: "the server knows another instance of the same UID, or a part does not fit the rest",
    0xA770: "the server knows the instance but not its class",
}


def explain_failure(code: int) -> str:
    """Say what a failure code means, and what to do where that is known."""
    if code in _FAILURES:
        return _FAILURES[code]
    if 0xA700 <= code <= 0xA7FF:
        return "the server is out of room or resources; tell its administrator"
    if 0xA900 <= code <= 0xA9FF:
        return "the server finds that the content does not fit its kind of object"
    if 0xC000 <= code <= 0xCFFF:
        return "the server cannot understand it; its log says why"
    return "the server refused it; its log says why"


def explain_warning(code: int) -> str:
    """Say what a warning code means; the instance is stored."""
    return {
        0xB000: "stored; the server changed some values to fit the patient or study it knows",
        0xB006: "stored; the server left out some elements",
        0xB007: "stored, although the server finds that the content does not fit its kind of object",
    }.get(code, "stored with a remark")
