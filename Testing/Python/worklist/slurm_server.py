"""A one-node Slurm with munge of the test's own, on loopback, in a folder of its own, ended with the test."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")

_CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
MinJobAge=60
SchedulerParameters=sched_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def installed() -> bool:
    """Whether the tests can run one: the programs are there, and this is root."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in PROGRAMS)


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """Run munge, controller and node; yield the variables by which clients find them."""
    folder = Path(tempfile.mkdtemp(prefix="af-slurm-", dir="/tmp"))
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder, host=host, controller=_free_port(), node=_free_port(), cpus=max(1, os.cpu_count() or 1)
        )
    )
    environment = {"SLURM_CONF": str(configuration)}
    started: list[subprocess.Popen] = []

    def start(*words: object) -> None:
        log = (folder / f"{Path(str(words[0])).name}.log").open("w")
        started.append(
            subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env={**os.environ, **environment})
        )

    try:
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("log", "pid", "seed")]
        start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket", *files)
        _wait(lambda: (folder / "munge.socket").exists(), "munge", folder)
        start("slurmctld", "-D", "-f", configuration)
        start("slurmd", "-D", "-f", configuration, "-N", host)
        _wait(lambda: "idle" in _states(environment), "a node", folder)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _states(environment: dict[str, str]) -> str:
    asked = subprocess.run(
        ["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    return asked.stdout


def _wait(there, what: str, folder: Path) -> None:
    until = time.monotonic() + 30
    while not there():
        if time.monotonic() > until:
            logs = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in sorted(folder.glob("*.log")))
            raise TimeoutError(f"{what} did not come up:\n{logs}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
