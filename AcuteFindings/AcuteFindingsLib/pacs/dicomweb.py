"""An archive over DICOMweb: QIDO-RS finds, WADO-RS fetches, STOW-RS stores (PS3.18)."""

import logging
import ssl
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util.retry import Retry

from AcuteFindingsLib.detectors.detector import Cancelled
from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Outgoing, StoreAnswer, by_number, newest_first, stop_if
from AcuteFindingsLib.pacs.http_errors import explain_request, explain_status, not_dicomweb
from AcuteFindingsLib.pacs.instance_files import UNREADABLE, Inbox, disk_error
from AcuteFindingsLib.pacs.login import read_password, read_token
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
from AcuteFindingsLib.pacs.tls import client_context
from AcuteFindingsLib.study.dicom_files import quiet_pydicom

_CONNECT_TIMEOUT = 10.0
# One read of a streamed answer, so that progress moves and a cancel is heard within it.
_READ_CHUNK = 256 * 1024
# The client sends what is longer than a chunk without saying its length, which not every server takes.
_ONE_CHUNK = 1 << 40
_BUSY = (429, 503)
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
        self._session = _open_session(server)
        self._client = self._client_with(_READ_CHUNK)

    def test(self) -> str:
        """Search for one study; says that searching works."""
        self._search(self._client.search_for_studies, limit=1, fields=["StudyInstanceUID"])
        login = " with our login" if self._server.has_login else ""
        return f"DICOMweb search answers{login}{', over TLS' if self._server.encrypted else ''}"

    def find_studies(self, query: StudyQuery, *, show_patient: bool = False, limit: int = 200) -> list[StudyMatch]:
        """Search for studies (QIDO-RS)."""
        answers = self._search(
            self._client.search_for_studies,
            limit=limit,
            fields=[*STUDY_KEYS, *(PATIENT_KEYS if show_patient else ())],
            search_filters=query.criteria(),
        )
        return newest_first(
            [study_match(answer, show_patient=show_patient) for answer in answers if query.fits(answer)]
        )

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Search for the series of a study (QIDO-RS)."""
        answers = self._search_all(
            self._client.search_for_series,
            "SeriesInstanceUID",
            study_instance_uid=study_uid,
            fields=list(SERIES_KEYS),
        )
        return by_number([series_match(answer, study_uid) for answer in answers])

    def find_instances(self, study_uid: str, series_uid: str) -> list[InstanceMatch]:
        """Search for the instances of a series (QIDO-RS)."""
        answers = self._search_all(
            self._client.search_for_instances,
            "SOPInstanceUID",
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            fields=list(INSTANCE_KEYS),
        )
        return by_number([instance_match(answer, study_uid, series_uid) for answer in answers])

    def fetch(self, wanted: Sequence[InstanceMatch], inbox: Inbox, *, complete: bool, cancelled: Cancelled) -> None:
        """Retrieve as one stream where the whole series is wanted, and singly what remains (WADO-RS)."""
        if complete and len(wanted) > 1:
            with self._explained():
                stream = self._client.iter_series(wanted[0].study_uid, wanted[0].series_uid, media_types=_AS_STORED)
                for dataset in stream:
                    self._keep(dataset, inbox)
                    stop_if(cancelled)
        for match in inbox.missing:
            stop_if(cancelled)
            with self._explained():
                try:
                    dataset = self._client.retrieve_instance(
                        match.study_uid, match.series_uid, match.sop_uid, media_types=_AS_STORED
                    )
                except requests.HTTPError as error:
                    status = error.response.status_code if error.response is not None else 0
                    if status in _CONCERNS_ALL:
                        raise
                    inbox.refused.append(f"{match.sop_uid}: the server {explain_status(status)}")
                    continue
            self._keep(dataset, inbox)

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
                with quiet_pydicom():
                    answer = client.store_instances([pydicom.dcmread(file.path)])
                yield _read_store_answer(file, answer)
            except requests.HTTPError as error:
                yield _read_store_error(file, error.response)
            except requests.RequestException as error:
                lost = str(explain_request(self._server, error))
                yield StoreAnswer(file, "not sent", "", lost)
            except UNREADABLE:
                yield StoreAnswer(file, "refused", "", "the server's answer could not be read")

    def _client_with(self, chunk_size: int) -> DICOMwebClient:
        client = DICOMwebClient(
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

    def _search(self, search: Callable[..., list[dict[str, Any]]], **arguments: Any) -> list[Dataset]:
        with self._explained(), quiet_pydicom():
            answers = search(**arguments)
            if not all(isinstance(answer, dict) for answer in answers):
                raise not_dicomweb(self._server)
            return [Dataset.from_json(answer) for answer in answers]

    def _search_all(self, search: Callable[..., list[dict[str, Any]]], keyword: str, **arguments: Any) -> list[Dataset]:
        """Search until nothing new comes: a server may answer with a part only."""
        found: dict[str, Dataset] = {}
        while True:
            page = self._search(search, offset=len(found), **arguments)
            new = {str(answer.get(keyword)): answer for answer in page if str(answer.get(keyword)) not in found}
            if not new:
                return list(found.values())
            found.update(new)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                # On a single instance that comes without its envelope, which the client reads all the same.
                warnings.filterwarnings("ignore", module="dicomweb_client")
                yield
        except requests.RequestException as error:
            # The cause holds the address with its query, and that names patients.
            raise explain_request(self._server, error) from None
        except UNREADABLE as error:
            raise PacsError(
                f"{self._server.name} ({self._server.url}) gave an answer that cannot be read "
                f"({type(error).__name__}); check that url ends in the DICOMweb root, often /dicom-web."
            ) from None


class _TrustingAdapter(HTTPAdapter):
    """Connects with our own TLS settings, which requests would replace by its bundled list of authorities."""

    def __init__(self, context: ssl.SSLContext, retry: Retry) -> None:
        self._context = context
        super().__init__(max_retries=retry)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        return super().proxy_manager_for(proxy, **settings, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the connection as the context has it."""


class _BearerAuth(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _open_session(server: DicomwebServer) -> requests.Session:
    session = requests.Session()
    # Neither a login from ~/.netrc nor a proxy or authorities from the environment: the server's entry says it all.
    session.trust_env = False
    if server.proxy:
        session.proxies = {"http": server.proxy, "https": server.proxy}
    # Only questions are repeated, and only where the server says that it is busy.
    retry = Retry(
        2, connect=0, read=False, other=0, backoff_factor=0.5, status_forcelist=_BUSY, allowed_methods=("GET",)
    )
    retry.raise_on_status = False
    session.mount("http://", HTTPAdapter(max_retries=retry))
    if server.encrypted:
        session.mount("https://", _TrustingAdapter(client_context(server), retry))
    password, token = read_password(server), read_token(server)
    if password is not None:
        # As bytes: requests would otherwise encode them as Latin-1.
        session.auth = HTTPBasicAuth((server.user or "").encode(), password.get_secret_value().encode())
    elif token is not None:
        session.auth = _BearerAuth(token.get_secret_value())
    return session


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
