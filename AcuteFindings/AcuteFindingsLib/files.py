"""Writing files so that a target is either whole or untouched."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_written(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it takes the target's place when the block ends well.

    The partial file keeps the target's suffixes, so writers that choose a format by name work. After an error the
    target is as it was and the partial file is gone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex[:8]}.partial.{target.name}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
