"""What leaves the department's computer when a study is read: DICOM results to an archive, a line to a web address.

What was sent is written down beside the results, so that a restart sends nothing twice: DICOM objects keep their UIDs,
and where a sending was cut off the archive is asked what it has. A line to a web address carries a key by which its
receiver can tell a repeat, for a computer may be lost between the answer and its note.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from pydantic import TypeAdapter, ValidationError

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.errors import PacsError, WorklistError
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.jobs.run_study import DICOM_FOLDER
from AcuteFindingsLib.pacs.connection import Connection, Outgoing
from AcuteFindingsLib.pacs.push import collect_files
from AcuteFindingsLib.progress import never_cancelled
from AcuteFindingsLib.worklist.intake.listener import LOOPBACK
from AcuteFindingsLib.worklist.item import WorklistItem
from AcuteFindingsLib.worklist.records import Record

_FOLDER = "sent"
_TIMEOUT = 15.0


@dataclass
class Sent:
    """What was sent of one reading of a study.

    Attributes
    ----------
    reading
        Which: checksum of the images and time of the result.
    begun, sent
        SOP Instance UIDs that are being sent, and that the archive has.
    told
        Whether the web address was told.
    """

    reading: str
    begun: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    told: bool = False


_ADAPTER = TypeAdapter(Sent)


class Delivery:
    """Sends the results of a folder of results."""

    def __init__(
        self,
        results: Path,
        *,
        connect: Callable[[], Connection] | None = None,
        webhook: str | None = None,
        say: Callable[[str], object],
    ) -> None:
        """Send nothing yet.

        Parameters
        ----------
        results
            The folder of results.
        connect
            Reaches the archive that takes DICOM results; None sends none.
        webhook
            Web address that is told of each verdict, by POST of JSON without anything that names the patient.
        say
            Told in one sentence of what could not be sent; it is tried again later.

        Raises
        ------
        WorklistError
            The web address is none, or unencrypted to another computer.
        """
        if webhook is not None:
            try:
                parts = urlsplit(webhook)
            except ValueError as error:
                raise WorklistError(f"The address of --webhook is none: {error}.") from error
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise WorklistError("The address of --webhook begins with https:// and names a computer.")
            if parts.scheme == "http" and parts.hostname not in LOOPBACK:
                raise WorklistError("The address of --webhook is not encrypted; use https for another computer.")
        self._results, self._connect, self._webhook, self._say = results, connect, webhook, say

    def deliver(self, record: Record, item: WorklistItem) -> bool:
        """Send what was not sent of a study that is done; return whether nothing is left to send."""
        if record.state != "done":
            return True
        sent = self._read(record)
        whole = self._send(record, sent) if self._connect is not None else True
        return self._tell(record, item, sent) and whole if self._webhook is not None else whole

    def _send(self, record: Record, sent: Sent) -> bool:
        folder = self._results / record.key / DICOM_FOLDER
        try:
            files = [one for one in collect_files([folder]).files if one.sop_uid not in sent.sent]
            if not files:
                return True
            assert self._connect is not None
            connection = self._connect()
            files = self._without_arrived(connection, files, record, sent)
            sent.begun = [one.sop_uid for one in files]
            self._write(record, sent)
            for answer in connection.store(files, cancelled=never_cancelled):
                if answer.stored:
                    sent.sent.append(answer.file.sop_uid)
                    self._write(record, sent)
                else:
                    self._say(f"{record.key}: a DICOM result was not taken ({answer.text}); it is sent again later.")
        except PacsError as error:
            self._say(f"{record.key}: the DICOM results wait to be sent: {error}")
            return False
        return all(one.sop_uid in sent.sent for one in files)

    def _without_arrived(
        self, connection: Connection, files: list[Outgoing], record: Record, sent: Sent
    ) -> list[Outgoing]:
        """Leave out what had arrived when a sending was cut off."""
        if not sent.begun:
            return files
        there = {
            match.sop_uid
            for study, series in {(one.study_uid, one.series_uid) for one in files}
            for match in connection.find_instances(study, series)
        }
        sent.sent += [one.sop_uid for one in files if one.sop_uid in there]
        self._write(record, sent)
        return [one for one in files if one.sop_uid not in there]

    def _tell(self, record: Record, item: WorklistItem, sent: Sent) -> bool:
        if sent.told:
            return True
        assert self._webhook is not None
        line = {
            "key": record.key,
            "detector": record.detector,
            "verdict": record.verdict,
            "probability": record.probability,
            "urgency": item.urgency,
            "model": record.model,
            "arrived": record.arrived,
            "finished": record.finished,
            "notice": RESEARCH_USE_ONLY,
        }
        headers = {"Idempotency-Key": f"{record.key}-{sent.reading[:32]}"}
        try:
            answer = requests.post(
                self._webhook, json=line, headers=headers, timeout=_TIMEOUT, allow_redirects=False, stream=True
            )
        except requests.RequestException as error:
            self._say(f"{record.key}: the web address could not be told ({type(error).__name__}); it is told later.")
            return False
        # What it says beside its status is not read.
        answer.close()
        if not 200 <= answer.status_code < 300:
            self._say(f"{record.key}: the web address answered {answer.status_code}; it is told again later.")
            return False
        sent.told = True
        self._write(record, sent)
        return True

    def _read(self, record: Record) -> Sent:
        reading = f"{record.instances} {record.finished}"
        try:
            sent: Sent = _ADAPTER.validate_json(self._file(record).read_bytes())
        except (OSError, ValidationError):
            return Sent(reading)
        return sent if sent.reading == reading else Sent(reading)

    def _write(self, record: Record, sent: Sent) -> None:
        file = self._file(record)
        file.parent.mkdir(exist_ok=True)
        with replace_when_written(file) as partial:
            partial.write_bytes(_ADAPTER.dump_json(sent))

    def _file(self, record: Record) -> Path:
        return self._results / _FOLDER / f"{record.key}.json"


def describe(item: WorklistItem, finding: str) -> str:
    """Return the line that the terminal shows of a study that was read."""
    what = item.verdict or item.state
    share = f" {item.probability:.2f}" if item.probability is not None else ""
    said = f": {item.said}" if item.said else ""
    return f"{what}{share}  {finding}  {item.key}{said}"
