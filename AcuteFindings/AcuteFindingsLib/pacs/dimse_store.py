"""Sending over classic DICOM (C-STORE): each file in the transfer syntax that it is in."""

from collections.abc import Iterator, Sequence

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import Association
from pynetdicom.presentation import PresentationContext, build_context

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.association import association
from AcuteFindingsLib.pacs.connection import Outgoing, StoreAnswer
from AcuteFindingsLib.pacs.instance_files import UNREADABLE
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.store_status import explain_failure, explain_warning
from AcuteFindingsLib.progress import Cancelled
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

_MAX_CONTEXTS = 128
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def store_files(server: DimseServer, files: Sequence[Outgoing], *, cancelled: Cancelled) -> Iterator[StoreAnswer]:
    """Send files; yields one answer for each, whatever happens.

    Files that need more presentation contexts than one association can hold are sent over several. An association that
    breaks is opened once more for what is left.
    """
    for group in _groups(files):
        left = list(group)
        for last_try in (False, True):
            broken = ""
            try:
                with association(server, _contexts(left), service="storage of what is to be sent") as opened:
                    while left:
                        if cancelled():
                            broken = "stopped on request"
                            break
                        answer = _store(opened, left[0])
                        if answer is None:
                            broken = "the connection broke before the server answered"
                            break
                        left.pop(0)
                        yield answer
            except PacsError as error:
                broken = str(error)
            if not left or last_try or cancelled():
                break
            if broken and not _worth_another_try(broken):
                break
        for file in left:
            yield StoreAnswer(file, "not sent", "", broken)


def _worth_another_try(reason: str) -> bool:
    return reason == "the connection broke before the server answered"


def _groups(files: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Divide files so that the contexts of each part fit one association."""
    group: list[Outgoing] = []
    pairs: set[tuple[str, str]] = set()
    for file in files:
        needed = _pairs(file)
        if group and len(pairs | needed) > _MAX_CONTEXTS:
            yield group
            group, pairs = [], set()
        group.append(file)
        pairs |= needed
    if group:
        yield group


def _pairs(file: Outgoing) -> set[tuple[str, str]]:
    """Return the class with the file's own syntax; where that is a plain one, the other plain one will do too."""
    syntaxes = {str(syntax) for syntax in _PLAIN} if file.transfer_syntax in _PLAIN else {file.transfer_syntax}
    return {(file.sop_class_uid, syntax) for syntax in syntaxes}


def _contexts(files: Sequence[Outgoing]) -> list[PresentationContext]:
    pairs = sorted(set().union(*(_pairs(file) for file in files)))
    return [build_context(sop_class, syntax) for sop_class, syntax in pairs]


def _store(opened: Association, file: Outgoing) -> StoreAnswer | None:
    """Send one file; None where the connection broke."""
    if not opened.is_established:
        return None
    accepted = {(str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in opened.accepted_contexts}
    if not accepted & _pairs(file):
        kind, syntax = UID(file.sop_class_uid).name, UID(file.transfer_syntax).name
        return StoreAnswer(file, "refused", "", f"the server does not take {kind} in {syntax}")
    try:
        with quiet_pydicom():
            status = opened.send_c_store(pydicom.dcmread(file.path))
    except (OSError, *UNREADABLE) as error:
        if not opened.is_established:
            return None
        return StoreAnswer(file, "refused", "", f"the file could not be encoded ({type(error).__name__})")
    if "Status" not in status:
        return None
    code = int(status.Status)
    text = f"0x{code:04X}"
    if code == 0:
        return StoreAnswer(file, "stored", text, "stored")
    if 0xB000 <= code <= 0xBFFF:
        return StoreAnswer(file, "stored with a remark", text, explain_warning(code))
    return StoreAnswer(file, "refused", text, explain_failure(code))
