"""Servers in processes of their own, as tests start and end them."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

HERE = Path(__file__).resolve().parent
_START_SECONDS = 240.0


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    results: Path

    def client(self) -> httpx.Client:
        """Return what asks it."""
        return httpx.Client(base_url=f"{self.address}api/v1", timeout=30.0)

    def kill(self) -> None:
        """End it as a power failure does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """Let it end by itself and return what it printed further."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=120)[0]


def start(results: Path, *command: str) -> Server:
    """Start a server and return it when it answers."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, *(command or (str(HERE / "pretended_server.py"), str(results)))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = ""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and (line := process.stdout.readline()):
        said += line
        if found := re.search(r"serving (https?://\S+)", line):
            return Server(process, found[1], results)
    process.kill()
    raise AssertionError(f"the server did not start: {said}")
