"""An archive over classic DICOM: C-ECHO, C-FIND, C-MOVE or C-GET, and C-STORE (PS3.4)."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.association import association, require_answer
from AcuteFindingsLib.pacs.connection import Outgoing, Shortfall, StoreAnswer, by_number, newest_first
from AcuteFindingsLib.pacs.dimse_retrieve import retrieve
from AcuteFindingsLib.pacs.dimse_store import store_files
from AcuteFindingsLib.pacs.instance_files import Inbox
from AcuteFindingsLib.pacs.login import read_password
from AcuteFindingsLib.pacs.matches import (
    INSTANCE_KEYS,
    PATIENT_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    InstanceMatch,
    SeriesMatch,
    StudyMatch,
    StudyQuery,
    instance_match,
    series_match,
    study_match,
)
from AcuteFindingsLib.pacs.servers import DimseServer
from AcuteFindingsLib.pacs.tls import client_context
from AcuteFindingsLib.progress import Cancelled
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

_SUCCESS = 0x0000
# Matching reached its limit (PS3.4 C.4.1.1.4, C.6.4.4), or the server ended the query itself.
_LIMITS = (0xB001, 0xFE00)
_PENDING = (0xFF00, 0xFF01)
# A query may take as many of the server's timeouts, which bound only the silence between two answers.
_FIND_TIMEOUTS = 10
# What a server may still send after it was asked to stop: answers, and seconds.
_AFTER_CANCEL, _CANCEL_TIMEOUT = 1000, 5.0
_PLURALS = {"study": "studies", "series": "series", "instance": "instances"}


class DimseConnection:
    """A `Connection` over classic DICOM.

    Raises
    ------
    PacsError
        Where a secret or certificate of the server's entry cannot be read.
    """

    def __init__(self, server: DimseServer) -> None:
        self._server = server
        self.shortfalls: list[Shortfall] = []
        read_password(server)
        if server.tls:
            client_context(server)

    def test(self) -> str:
        """Send a C-ECHO, and learn whether queries are offered."""
        with association(self._server, [build_context(Verification)], service="verification (C-ECHO)") as opened:
            status = opened.send_c_echo()
        code = require_answer(self._server, status, "C-ECHO")
        if code != _SUCCESS:
            raise PacsError(f"{self._server.name} ({self._server.address}) answers C-ECHO with 0x{code:04X}.")
        contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
        with association(self._server, contexts, service="queries (C-FIND)"):
            pass
        over = ", over TLS" if self._server.tls else ""
        return f"C-ECHO answers, queries are offered to {self._server.own_ae_title}{over}"

    def find_studies(self, query: StudyQuery, *, show_patient: bool = False, limit: int = 200) -> list[StudyMatch]:
        """Search for studies (C-FIND at level STUDY)."""
        identifier = _identifier("STUDY", (*STUDY_KEYS, *(PATIENT_KEYS if show_patient else ())), query.criteria())
        answers = self._find(identifier, "StudyInstanceUID", level="study", limit=limit, fits=query.fits)
        return newest_first([study_match(answer, show_patient=show_patient) for answer in answers])

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Search for the series of a study (C-FIND at level SERIES)."""
        identifier = _identifier("SERIES", SERIES_KEYS, {"StudyInstanceUID": study_uid})
        answers = self._find(identifier, "SeriesInstanceUID", level="series")
        return by_number([series_match(answer, study_uid) for answer in answers])

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        """Search for the instances of a series (C-FIND at level IMAGE)."""
        identifier = _identifier(
            "IMAGE", INSTANCE_KEYS, {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        )
        answers = self._find(identifier, "SOPInstanceUID", level="instance")
        return by_number([instance_match(answer, study_uid, series_uid) for answer in answers])

    def fetch(self, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled) -> None:
        """Retrieve by C-MOVE or C-GET, as the server's entry says."""
        retrieve(self._server, wanted, inbox, complete=complete, cancelled=cancelled)

    def store(self, files: Sequence[Outgoing], *, cancelled: Cancelled) -> Iterator[StoreAnswer]:
        """Send by C-STORE."""
        return store_files(self._server, files, cancelled=cancelled)

    def _find(
        self,
        identifier: Dataset,
        keyword: str,
        *,
        level: Literal["study", "series", "instance"],
        limit: int | None = None,
        fits: Callable[[Dataset], bool] = lambda _: True,
    ) -> list[Dataset]:
        """Return the answers that fit, each once by its UID; what came before a server gave up is kept and noted.

        Raises
        ------
        PacsError
            Where nothing came and the server says why, or the connection broke.
        """
        model = StudyRootQueryRetrieveInformationModelFind
        found: dict[str, Dataset] = {}
        number, reason, enough = 0, "", False
        end = time.monotonic() + _FIND_TIMEOUTS * self._server.timeout
        with association(self._server, [build_context(model)], service="queries (C-FIND)") as opened, quiet_pydicom():
            for status, answer in opened.send_c_find(identifier, model):
                code = int(status.Status) if "Status" in status else None
                if code not in _PENDING:
                    reason = reason if enough else self._reason(status, len(found))
                    break
                number += 1
                if enough:
                    # Asked to stop, a server may send what is under way already, and no more.
                    if number > _AFTER_CANCEL or time.monotonic() > end:
                        opened.abort()
                        break
                    continue
                if answer is not None and answer.get(keyword) and fits(answer):
                    found.setdefault(str(answer.get(keyword)), answer)
                if number >= budgets().answers or time.monotonic() > end:
                    over = "" if number >= budgets().answers else ", because the time was over"
                    reason, enough = f"it was ended after {number} answers{over}", True
                enough = enough or (limit is not None and len(found) >= limit)
                if enough:
                    opened.send_c_cancel(1, query_model=model)
                    number, end = 0, time.monotonic() + _CANCEL_TIMEOUT
        if reason:
            self.shortfalls.append(
                Shortfall(level, f"{self._server.name}: the list of {_PLURALS[level]} is cut: {reason}")
            )
        return list(found.values())

    def _reason(self, status: Dataset, found: int) -> str:
        """Say why a query ended before its end, or nothing; raises `PacsError` where it brought nothing at all."""
        if "Status" not in status and found:
            return f"the connection broke after {found} answers"
        code = require_answer(self._server, status, "the query")
        if code == _SUCCESS:
            return ""
        if code in _LIMITS:
            return f"the server limits its answers (0x{code:04X}); narrow the query"
        if found:
            return _explain_find(code)
        raise PacsError(
            f"{self._server.name} ({self._server.address}) could not answer the query: {_explain_find(code)}."
        )


def _identifier(level: str, keys: Sequence[str], criteria: dict[str, str]) -> Dataset:
    """Build what is asked: the keys to return, empty, and those to match by."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if not all(value.isascii() for value in criteria.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword in keys:
        setattr(identifier, keyword, None)
    for keyword, value in criteria.items():
        setattr(identifier, keyword, value)
    return identifier


def _explain_find(code: int) -> str:
    """Say what a status of C-FIND means (PS3.4 C.4.1.1.4)."""
    if code == 0xA700:
        return "it is out of resources (0xA700); narrow the query or try again later"
    if code == 0xA900:
        return "it does not take this query (0xA900)"
    if code in (0x0122, 0x0124):
        return f"it does not permit queries to us (0x{code:04X}); ask its administrator"
    return f"it cannot process it (0x{code:04X}); its log says why"
