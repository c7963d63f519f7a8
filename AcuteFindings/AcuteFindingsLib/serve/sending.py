"""Files on their way to a server: their names stay here, and how much of them is sent is told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from AcuteFindingsLib.errors import RemoteError
from AcuteFindingsLib.progress import Cancelled, Progress, stop_if

_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".zip", ".dcm")


class WatchedFile:
    """A file that tells how much of all was read, and stops where that is asked for."""

    def __init__(self, stream: IO[bytes], told: Callable[[int], None]) -> None:
        self._stream, self._told = stream, told

    def fileno(self) -> int:
        """Return the file's number, from which its length is known."""
        return self._stream.fileno()

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._stream.read(size)
        self._told(len(data))
        return data


@contextmanager
def opened_files(
    files: Sequence[Path], progress: Progress, cancelled: Cancelled
) -> Iterator[list[tuple[str, WatchedFile]]]:
    """Yield files under numbers for names, with the ending that says what they are."""
    try:
        total = max(sum(file.stat().st_size for file in files), 1)
    except OSError as error:
        raise RemoteError(f"A file to send cannot be read ({error.strerror or error}).") from error
    sent = 0

    def told(count: int) -> None:
        nonlocal sent
        stop_if(cancelled)
        sent += count
        progress("Sending the study", min(sent / total, 1.0))

    streams: list[tuple[str, WatchedFile]] = []
    opened: list[IO[bytes]] = []
    try:
        for place, file in enumerate(files):
            lowered = file.name.lower()
            ending = next((ending for ending in _ENDINGS if lowered.endswith(ending)), "")
            opened.append(file.open("rb"))
            streams.append((f"{place:06d}{ending}", WatchedFile(opened[-1], told)))
        yield streams
    except OSError as error:
        raise RemoteError(f"A file to send cannot be read ({error.strerror or error}).") from error
    finally:
        for stream in opened:
            stream.close()
