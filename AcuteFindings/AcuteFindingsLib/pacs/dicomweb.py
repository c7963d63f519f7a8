"""An archive over DICOMweb: QIDO-RS finds, WADO-RS fetches, STOW-RS stores (PS3.18)."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pydicom
import requests
from pydicom.dataset import Dataset

from AcuteFindingsLib.budgets import budgets
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import KEPT, Outgoing, Shortfall, StoreAnswer, by_number, newest_first
from AcuteFindingsLib.pacs.dicomweb_session import Client, open_session
from AcuteFindingsLib.pacs.http_errors import explain_request, explain_status, not_dicomweb
from AcuteFindingsLib.pacs.instance_files import UNREADABLE, Inbox, disk_error
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
from AcuteFindingsLib.pacs.servers import DicomwebServer
from AcuteFindingsLib.pacs.store_status import explain_failure, explain_warning
from AcuteFindingsLib.pacs.study_search import SMALLEST_CAP
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.study.dicom_files import quiet_pydicom
from AcuteFindingsLib.web import Allowance

_CONNECT_TIMEOUT = 10.0
# A search with all its pages, or one instance, may take as many of the server's timeouts; a timeout of its own bounds
# only the silence between two packets.
_SEARCH_TIMEOUTS = 10
# Seconds for one file sent: a line may be slow.
_STORE_TIMEOUT = 3600.0
_ANY = 1 << 62
_PLURALS = {"study": "studies", "series": "series", "instance": "instances"}
# One read of a streamed answer, so that progress moves and a cancel is heard within it.
_READ_CHUNK = 256 * 1024
# The client sends what is longer than a chunk without saying its length, which not every server takes.
_ONE_CHUNK = 1 << 40
# After these, asking for the next instance is of no use.
_CONCERNS_ALL = (401, 403, 429, 502, 503, 504)
# As it is stored, compressed or not.
_AS_STORED = (("application/dicom", "*"),)


# Their warnings would otherwise go to the terminal, a traceback for each failed request among them.
for _name in ("retrying", "dicomweb_client"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class DicomwebConnection:
    """A `Connection` over DICOMweb.

    Raises
    ------
    PacsError
        Where a secret or certificate of the server's entry cannot be read.
    """

    def __init__(self, server: DicomwebServer) -> None:
        self._server = server
        self._session = open_session(server)
        self._client = self._client_with(_READ_CHUNK)
        self._counted: dict[str, int | None] = {}
        self.shortfalls: list[Shortfall] = []

    def test(self) -> str:
        """Search for one study; says that searching works."""
        self._search(self._client.search_for_studies, limit=1, fields=["StudyInstanceUID"])
        login = " with our login" if self._server.has_login else ""
        return f"DICOMweb search answers{login}{', over TLS' if self._server.encrypted else ''}"

    def find_studies(self, query: StudyQuery, *, show_patient: bool = False, limit: int = 200) -> list[StudyMatch]:
        """Search for studies (QIDO-RS)."""
        answers = self._search_all(
            self._client.search_for_studies,
            "StudyInstanceUID",
            level="study",
            limit=limit,
            counted=1 if query.study_uid else None,
            fits=query.fits,
            fields=[*STUDY_KEYS, *(PATIENT_KEYS if show_patient else ())],
            search_filters=query.criteria(),
        )
        found = newest_first([study_match(answer, show_patient=show_patient) for answer in answers])
        self._counted |= {study.study_uid: study.series_count for study in found}
        return found

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Search for the series of a study (QIDO-RS)."""
        answers = self._search_all(
            self._client.search_for_series,
            "SeriesInstanceUID",
            level="series",
            counted=self._counted.get(study_uid),
            study_instance_uid=study_uid,
            fields=list(SERIES_KEYS),
        )
        found = by_number([series_match(answer, study_uid) for answer in answers])
        self._counted |= {series.series_uid: series.instance_count for series in found}
        return found

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        """Search for the instances of a series (QIDO-RS)."""
        answers = self._search_all(
            self._client.search_for_instances,
            "SOPInstanceUID",
            level="instance",
            counted=self._counted.get(series_uid),
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            fields=list(INSTANCE_KEYS),
        )
        return by_number([instance_match(answer, study_uid, series_uid) for answer in answers])

    def fetch(self, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled) -> None:
        """Retrieve as one stream where the whole series is wanted, and singly what remains (WADO-RS)."""
        if complete and (inbox.lacking > 1 or not inbox.missing):
            self._fetch_series(wanted[0].study_uid, wanted[0].series_uid, inbox, cancelled)
        for match in inbox.missing:
            stop_if(cancelled, left=KEPT)
            with self._explained(most_bytes=budgets().instance_bytes), quiet_pydicom():
                try:
                    dataset = self._client.retrieve_instance(
                        match.study_uid, match.series_uid, match.sop_uid, media_types=_AS_STORED
                    )
                except requests.HTTPError as error:
                    status = error.response.status_code if error.response is not None else 0
                    if status in _CONCERNS_ALL:
                        raise
                    inbox.refuse(f"{match.sop_uid}: the server {explain_status(status)}")
                    continue
                except UNREADABLE:
                    inbox.refuse(f"{match.sop_uid}: the server's answer cannot be read")
                    continue
            self._keep(dataset, inbox)

    def _fetch_series(self, study_uid: str, series_uid: str, inbox: Inbox, cancelled: Cancelled) -> None:
        """Read the series as one stream; where that breaks off, what has arrived is kept and the rest is left."""
        with self._explained(most_bytes=budgets().instance_bytes) as allowance, quiet_pydicom():
            try:
                for dataset in self._client.iter_series(study_uid, series_uid, media_types=_AS_STORED):
                    allowance.restart()
                    self._keep(dataset, inbox)
                    stop_if(cancelled, left=KEPT)
            except (requests.exceptions.ChunkedEncodingError, *UNREADABLE):
                inbox.refuse(f"the stream of the series broke off after {inbox.received} instances")

    def store(self, files: Sequence[Outgoing], *, cancelled: Cancelled) -> Iterator[StoreAnswer]:
        """Send one file a request (STOW-RS), so that each has its own answer and memory holds one."""
        client = self._client_with(_ONE_CHUNK)
        lost = ""
        for file in files:
            if not lost and cancelled():
                lost = "stopped on request"
            if lost:
                yield StoreAnswer(file, "not sent", "", lost)
                continue
            try:
                allowed = self._session.within(seconds=_STORE_TIMEOUT, most_bytes=budgets().text_bytes)
                with allowed, quiet_pydicom():
                    answer = client.store_instances([pydicom.dcmread(file.path)])
                yield _read_store_answer(file, answer)
            except requests.HTTPError as error:
                yield _read_store_error(file, error.response)
            except requests.RequestException as error:
                lost = str(explain_request(self._server, error))
                yield StoreAnswer(file, "not sent", "", lost)
            except UNREADABLE:
                yield StoreAnswer(file, "refused", "", "the server's answer could not be read")

    def _client_with(self, chunk_size: int) -> Client:
        client = Client(
            self._server.url,
            session=self._session,
            chunk_size=chunk_size,
            permissive_uid=True,
            timeout=(min(_CONNECT_TIMEOUT, self._server.timeout), self._server.timeout),
        )
        # The session tries again where that is safe; the client would also repeat what cannot succeed.
        client.set_http_retry_params(retry=False)
        return client

    def _keep(self, dataset: Dataset, inbox: Inbox) -> None:
        try:
            inbox.take_dataset(dataset)
        except OSError as error:
            raise disk_error(inbox.folder, error) from error
        if isinstance(inbox.failure, PacsError):
            raise inbox.failure

    def _search(self, search: Callable[..., list[dict[str, Any]]], **arguments: Any) -> list[Dataset]:
        with self._explained(most_bytes=budgets().text_bytes), quiet_pydicom():
            answers = search(**arguments)
            if not all(isinstance(answer, dict) for answer in answers):
                raise not_dicomweb(self._server)
            # What an answer only points at (BulkDataURI, RetrieveURL) is never asked for.
            return [Dataset.from_json(answer) for answer in answers]

    def _search_all(
        self,
        search: Callable[..., list[dict[str, Any]]],
        keyword: str,
        *,
        level: Literal["study", "series", "instance"],
        limit: int | None = None,
        counted: int | None = None,
        fits: Callable[[Dataset], bool] = lambda _: True,
        **arguments: Any,
    ) -> list[Dataset]:
        """Search page by page until nothing new comes: a server may answer with a part only.

        `counted` is how many the server says that there are. Pages have an end: those that bring nothing new, the time
        of `_SEARCH_TIMEOUTS`, and the budget of answers.
        """
        found: dict[str, Dataset] = {}
        end = time.monotonic() + _SEARCH_TIMEOUTS * self._server.timeout
        what, most = f"the list of {_PLURALS[level]}", budgets().answers
        while True:
            self._session.more_stated = False
            if limit is not None:
                arguments["limit"] = limit
            page = [answer for answer in self._search(search, offset=len(found), **arguments) if answer.get(keyword)]
            new = {str(answer.get(keyword)): answer for answer in page if str(answer.get(keyword)) not in found}
            found.update(new)
            fitting = [answer for answer in found.values() if fits(answer)]
            if limit is not None and len(fitting) >= limit:
                return fitting[:limit]
            if len(found) >= most or time.monotonic() > end:
                reason = f"{most} answers" if len(found) >= most else f"{len(found)} answers, because the time was over"
                self.shortfalls.append(Shortfall(level, f"{self._server.name}: {what} was ended after {reason}"))
                return fitting
            if not new:
                repeated = len(page) >= (SMALLEST_CAP if counted is None else 1) and len(found) < (counted or _ANY)
                if repeated or self._session.more_stated:
                    ignored = "answers every page of it with the same" if repeated else "says that there are more"
                    self.shortfalls.append(
                        Shortfall(level, f"{self._server.name}: {what} may lack some, the server {ignored}")
                    )
                return fitting

    @contextmanager
    def _explained(self, *, most_bytes: int) -> Iterator[Allowance]:
        seconds = _SEARCH_TIMEOUTS * self._server.timeout
        try:
            with warnings.catch_warnings(), self._session.within(seconds=seconds, most_bytes=most_bytes) as allowance:
                # On a single instance that comes without its envelope, which the client reads all the same.
                warnings.filterwarnings("ignore", module="dicomweb_client")
                yield allowance
        except requests.RequestException as error:
            # The cause holds the address with its query, and that names patients.
            raise explain_request(self._server, error) from None
        except UNREADABLE as error:
            raise PacsError(
                f"{self._server.name} ({self._server.url}) gave an answer that cannot be read "
                f"({type(error).__name__}); check that url ends in the DICOMweb root, often /dicom-web."
            ) from None


def _read_store_answer(file: Outgoing, answer: Dataset) -> StoreAnswer:
    for item in answer.get("FailedSOPSequence") or ():
        code = int(item.get("FailureReason") or 0x0110)
        return StoreAnswer(file, "refused", f"0x{code:04X}", explain_failure(code))
    for item in answer.get("ReferencedSOPSequence") or ():
        code = item.get("WarningReason")
        if code:
            return StoreAnswer(file, "stored with a remark", f"0x{int(code):04X}", explain_warning(int(code)))
    return StoreAnswer(file, "stored", "HTTP 200", "stored")


def _read_store_error(file: Outgoing, response: requests.Response | None) -> StoreAnswer:
    assert response is not None
    code = f"HTTP {response.status_code}"
    try:
        with quiet_pydicom():
            answer = Dataset.from_json(response.json())
    except (requests.exceptions.JSONDecodeError, *UNREADABLE):
        answer = Dataset()
    if answer.get("FailedSOPSequence"):
        return _read_store_answer(file, answer)
    return StoreAnswer(file, "refused", code, f"the server {explain_status(response.status_code)}")
