"""What the worker process and the application say to each other: one JSON object a line, UTF-8.

To the worker: ``{"id": 1, "do": "detect", ...fields}`` and ``{"cancel": 1}``. From it: ``{"event": "ready"}`` once,
then for every request any number of ``progress`` and exactly one of ``done``, ``error`` and ``cancelled``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import IO, Any

from AcuteFindingsLib.errors import AcuteFindingsError

PROGRESS_INTERVAL_S = 0.05
"""Between two messages of progress in the same stage: more would be drawn by nobody."""


class MessageError(AcuteFindingsError):
    """A line that the worker cannot make sense of."""


@dataclass(frozen=True)
class Request:
    """Something to do. The readers of `fields` raise `MessageError`, naming the field, where it does not suit."""

    id: int | str
    do: str
    fields: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            raise MessageError(f"The request {self.do!r} lacks the text {name!r}.")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, None where it is missing, null or empty."""
        return self.text(name) if self.fields.get(name) not in (None, "") else None

    def path(self, name: str) -> Path:
        """Return the path of a file or folder that must be named."""
        return Path(self.text(name))

    def folders(self, name: str = "folders") -> tuple[Path, ...]:
        """Return the folders of a list, which may be missing."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise MessageError(f"The field {name!r} of the request {self.do!r} must be a list of folders.")
        return tuple(Path(item) for item in value)

    def flag(self, name: str) -> bool:
        """Return yes or no; no where it is missing."""
        return self.fields.get(name) is True


@dataclass(frozen=True)
class Cancel:
    """Stop the request with this id, whether it has begun or not."""

    id: int | str


def read_message(line: bytes) -> Request | Cancel:
    """Read one line from the application.

    Raises
    ------
    MessageError
        When it is no JSON object, or has neither ``id`` and ``do`` nor ``cancel``. It does not repeat the line.
    """
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageError("A message was not a line of JSON.") from error
    if not isinstance(data, dict):
        raise MessageError("A message was not a JSON object.")
    if "cancel" in data:
        return Cancel(_id(data["cancel"]))
    if not isinstance(data.get("do"), str):
        raise MessageError("A message names nothing to do.")
    number = _id(data.get("id"))
    return Request(number, data["do"], {name: value for name, value in data.items() if name not in ("id", "do")})


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream that are not blank, until it ends."""
    for line in iter(stream.readline, b""):
        if line.strip():
            yield line


class Answers:
    """Writes messages to the application; safe to use from more than one thread.

    Raises `OSError` from any method once nobody reads any more.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = Lock()

    def ready(self, version: str) -> None:
        """Say that requests are taken."""
        self.send({"event": "ready", "version": version})

    def progress(self, number: int | str) -> "ProgressAnswers":
        """Return the teller of one request's progress."""
        return ProgressAnswers(self, number)

    def done(self, number: int | str, result: dict[str, Any]) -> None:
        """Hand over what a request gave."""
        self.send({"id": number, "event": "done", "result": result})

    def failed(self, number: int | str | None, text: str, kind: str, **more: Any) -> None:
        """Say in one sentence why a request (None: a message that was none) came to nothing."""
        self.send({"id": number, "event": "error", "text": " ".join(text.split()), "kind": kind, **more})

    def cancelled(self, number: int | str) -> None:
        """Say that a request was stopped."""
        self.send({"id": number, "event": "cancelled"})

    def send(self, message: dict[str, Any]) -> None:
        """Write one message."""
        line = json.dumps(message, allow_nan=False).encode("utf-8") + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class ProgressAnswers:
    """Tells of one request's progress: at once where the stage changes, else every `PROGRESS_INTERVAL_S`."""

    def __init__(self, answers: Answers, number: int | str) -> None:
        self._answers, self._number = answers, number
        self._text, self._next = None, 0.0  # type: tuple[str | None, float]

    def __call__(self, text: str, fraction: float) -> None:
        """Say what is being done and which share of the whole is done."""
        now = monotonic()
        if text == self._text and now < self._next:
            return
        self._text, self._next = text, now + PROGRESS_INTERVAL_S
        self._answers.send({"id": self._number, "event": "progress", "text": text, "fraction": round(fraction, 4)})


def _id(value: Any) -> int | str:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise MessageError("A message has no id, a number or a text.")
    return value
