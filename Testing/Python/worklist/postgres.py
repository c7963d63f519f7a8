"""A PostgreSQL server of the test's own, on loopback or no port at all, ended with the test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """Return the folder of the server's programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    return None if beside is None else Path(beside).parent


@contextmanager
def server() -> Iterator[str]:
    """Run a server in a folder of its own and yield its address; it listens on a socket in that folder alone."""
    bin_folder = programs()
    assert bin_folder is not None
    # Its sockets' paths are short, and it does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="af-pg-", dir="/tmp"))
    as_other: list[str] = []
    if os.geteuid() == 0:
        other = next(name for name in ("postgres", "nobody") if _exists(name))
        shutil.chown(folder, other)
        as_other = ["setpriv", f"--reuid={other}", "--clear-groups"]
    try:
        data = folder / "data"
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, "timeout": 60}
        make = [bin_folder / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*as_other, *make], **quiet)
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        control = [*as_other, bin_folder / "pg_ctl", "-D", data, "-w"]
        subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
