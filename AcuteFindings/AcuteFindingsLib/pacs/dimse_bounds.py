"""Bounds on what the other side of an association of classic DICOM may send."""

import time
from typing import Any

from pynetdicom import evt

from AcuteFindingsLib.budgets import budgets

_READ_BYTES = 64 * 1024


class Bounds:
    """Ends connections that send too much at once or too slowly; pynetdicom reads whatever a header announces.

    Parameters
    ----------
    seconds
        For one protocol data unit (PDU), from its first byte to its last.
    message_bytes
        Of one message, which may come in several PDUs.
    total_bytes
        Of all messages of all connections together.

    Attributes
    ----------
    broken
        One sentence on each connection that was ended, without its subject.
    """

    def __init__(self, *, seconds: float, message_bytes: int, total_bytes: int) -> None:
        self._seconds = seconds
        self._message_bytes = message_bytes
        self._left = self._total_bytes = total_bytes
        self.broken: list[str] = []

    @property
    def handler(self) -> tuple[Any, ...]:
        """What pynetdicom calls for each connection that opens."""
        return evt.EVT_CONN_OPEN, self._bind

    def _bind(self, event: evt.Event) -> None:
        connection: Any = event.assoc.dul.socket
        association = event.assoc
        # Asked for a PDU's header and then for its rest, as long as the header says (PS3.8 9.3.1).
        connection.recv = lambda count: self._receive(association, connection.socket, count)

    def _receive(self, association: Any, source: Any, count: int) -> bytearray:
        message = association.dimse.message
        begun = (len(message.data_set.getbuffer()) + len(message.encoded_command_set.getbuffer())) if message else 0
        if count > budgets().pdu_bytes:
            self._end(f"announced {count / 1e6:,.0f} MB in one piece, {budgets().pdu_bytes / 1e6:.0f} MB are allowed")
        if begun + count > self._message_bytes:
            self._end(f"sent a message of more than {self._message_bytes / 1e6:,.0f} MB")
        self._left -= count
        if self._left < 0:
            self._end(f"sent more than {self._total_bytes / 1e6:,.0f} MB")
        data, usual = bytearray(), source.gettimeout()
        end = time.monotonic() + self._seconds
        try:
            while len(data) < count:
                left = end - time.monotonic()
                if left <= 0:
                    self._end(f"took more than {self._seconds:g} s for one piece")
                source.settimeout(left)
                part = source.recv(min(_READ_BYTES, count - len(data)))
                if not part:
                    break
                data += part
        except TimeoutError:
            self._end(f"took more than {self._seconds:g} s for one piece")
        finally:
            source.settimeout(usual)
        return data

    def _end(self, reason: str) -> None:
        if reason not in self.broken:
            self.broken.append(reason)
        # pynetdicom takes this for a connection that was lost, and closes it.
        raise ConnectionAbortedError(reason)
