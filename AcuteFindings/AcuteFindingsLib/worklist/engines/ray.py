"""Workers on a Ray cluster, or on this computer under Ray: actors that hold the networks."""

import os
from collections.abc import Sequence
from typing import Any

from AcuteFindingsLib.errors import EngineError
from AcuteFindingsLib.last_resort import sentence
from AcuteFindingsLib.progress import Cancelled, stop_if
from AcuteFindingsLib.worklist.engines.engine import (
    READER,
    Done,
    MakeReader,
    Told,
    answer_of,
    library_paths,
    reader_of,
    tell_nobody,
)
from AcuteFindingsLib.worklist.engines.tries import Tries
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import ReadSettings

_LOOK_SECONDS = 0.5


class RayEngine:
    """See `engine.Engine`. Every computer of the cluster sees studies and results by the same paths.

    Attributes
    ----------
    workers
        Actors; 0 for as many as the cluster has room for.
    """

    name = "ray"

    def __init__(self, workers: int = 0, *, address: str | None = None, gpus: float | None = None) -> None:
        """Start nothing yet.

        Parameters
        ----------
        workers
            How many examinations are read at once; 0 for as many as fit.
        address
            Of a running cluster as Ray has it (``"auto"``, ``"HOST:6379"``; Ray also looks for ``RAY_ADDRESS``); None
            starts Ray on this computer for the time of the batch.
        gpus
            How much of a graphics card an actor takes (0.5: two share one); 1 where the device asked for is a CUDA card
            and 0 else when None.

        Raises
        ------
        EngineError
            Ray is not installed.
        """
        try:
            import ray
        except ImportError as error:
            raise EngineError(
                "The engine ray needs the Python package ray: pip install 'acutefindings[ray]', on every computer of "
                "the cluster in the same version."
            ) from error
        self._ray, self._address, self._gpus = ray, address or os.environ.get("RAY_ADDRESS"), gpus
        self.workers = workers

    def run(
        self,
        exams: Sequence[Exam],
        settings: ReadSettings,
        *,
        done: Done,
        cancelled: Cancelled,
        reader: MakeReader = READER,
        told: Told = tell_nobody,  # noqa: ARG002
    ) -> None:
        """See `engine.Engine.run`."""
        if not exams:
            return
        ray = self._ray
        ours = not ray.is_initialized()
        if ours:
            self._connect()
        actors: list[Any] = []
        try:
            gpus = self._gpus if self._gpus is not None else float(settings.device.startswith("cuda"))
            count = min(self._room(gpus), len(exams))
            kind = ray.remote(_Actor)
            cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // count)

            def start() -> Any:
                return kind.options(
                    num_cpus=0 if gpus else min(cpus, 1),
                    num_gpus=gpus,
                    max_restarts=0,
                    runtime_env={"env_vars": _environment(cpus)},
                ).remote(settings, reader)

            actors = [start() for _ in range(count)]
            tries = Tries(exams, done)
            asked: dict[Any, tuple[int, int]] = {}
            idle = list(range(count))
            while tries.left or asked:
                stop_if(cancelled)
                while idle and (following := tries.next()) is not None:
                    number, exam = following
                    place = idle.pop(0)
                    asked[actors[place].read.remote(exam)] = (number, place)
                ready, _ = ray.wait(list(asked), timeout=_LOOK_SECONDS)
                for answer in ready:
                    number, place = asked.pop(answer)
                    idle.append(place)
                    try:
                        said = ray.get(answer)
                    except ray.exceptions.RayError as error:
                        if not isinstance(error, ray.exceptions.RayActorError):
                            tries.answered(number, sentence(error))
                            continue
                        actors[place] = start()
                        tries.lost(number)
                        continue
                    tries.answered(number, said)
        finally:
            for actor in actors:
                ray.kill(actor)
            if ours:
                ray.shutdown()

    def _connect(self) -> None:
        ray = self._ray
        try:
            if self._address is None:
                # Without "local" Ray would join whatever cluster runs on this computer, somebody else's too.
                # Nothing of it can be reached from another computer, nothing is sent to Ray's makers.
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                ray.init(address="local", include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
            else:
                ray.init(address=self._address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            told = " ".join(str(error).split())[:200]
            raise EngineError(
                f"The Ray cluster {self._address or 'on this computer'} cannot be used: {told}. Start one with `ray "
                "start --head`, and give its address with --address."
            ) from error

    def _room(self, gpus: float) -> int:
        """Return how many actors the cluster has room for, at most as many as were asked for."""
        resources = self._ray.cluster_resources()
        if gpus:
            room = int(resources.get("GPU", 0) / gpus)
            if room < 1:
                raise EngineError(
                    f"The Ray cluster has {resources.get('GPU', 0):g} graphics cards, and a worker takes {gpus:g}; "
                    "name another --device, or start nodes with --num-gpus."
                )
        else:
            room = max(1, int(resources.get("CPU", 1)))
        return min(self.workers or room, room)


class _Actor:
    """A worker: holds what reads, and with it the networks."""

    def __init__(self, settings: ReadSettings, reader: MakeReader) -> None:
        self._reader = reader_of(reader, settings)

    def read(self, exam: Exam) -> Any:
        """Read one examination."""
        return answer_of(self._reader, exam)


def _environment(threads: int) -> dict[str, str]:
    """Return what workers are started with: their share of the cores, and where this library lies."""
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads),
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads),
        "PYTHONPATH": library_paths(),
    }
