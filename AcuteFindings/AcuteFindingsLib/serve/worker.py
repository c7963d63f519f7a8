"""The worker process with the jobs that a server does, beside those of the worklist and of `jobs.worker_jobs`.

The application hands over a study's folder and gets a result's folder back, as from `jobs.worker_jobs.detect`: whether
this computer or another one detected makes no difference to it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.errors import DetectionError, RemoteError, StudyRefusedError
from AcuteFindingsLib.jobs import worker
from AcuteFindingsLib.jobs.messages import Request
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.jobs.worker_jobs import JOBS
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.progress import part_of
from AcuteFindingsLib.worklist.worker import WORKLIST_JOBS

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.finding import Finding
    from AcuteFindingsLib.serve.address import Address
    from AcuteFindingsLib.study.study import Study

# Shares of the run: on the network of a department sending takes seconds, reading minutes.
_PACKED, _SENT, _READ = 0.08, 0.2, 0.95


def remote_version(request: Request, tools: Tools) -> dict[str, Any]:
    """Return what a server says of itself, and the detectors that it has; a wrong token is told here."""
    from AcuteFindingsLib.serve.client import Client

    tools.at("Asking the server", 0.0)
    with Client(_address(request)) as client:
        said = client.version()
        return {"software": str(said["software"])[:64], "detectors": [str(one["id"]) for one in client.detectors()]}


def remote_detect(request: Request, tools: Tools) -> dict[str, Any]:
    """Have a server run a detector on a study, and write its result as `detect` does."""
    from AcuteFindingsLib.jobs.arrays import load_study, save_result
    from AcuteFindingsLib.serve.client import Client
    from AcuteFindingsLib.study.packed_study import pack_study

    if request.flag("force"):
        raise DetectionError(
            "A server runs no study that was refused; choose a device of this computer to run it all the same."
        )
    detector, model = request.text("detector"), request.optional_text("model")
    if model and ("/" in model or "\\" in model):
        raise DetectionError("A server takes the id of a model that it has, not a folder of this computer.")
    tools.at("Asking the server", 0.0)
    with Client(_address(request)) as client, temporary_folder() as work:
        client.version()
        packed = pack_study(
            request.path("study"), work / "study.zip", progress=tools.span(0.01, _PACKED), cancelled=tools.cancelled
        )
        job = client.upload(
            [packed],
            detector=detector,
            model=model,
            packed=True,
            progress=tools.span(_PACKED, _SENT),
            cancelled=tools.cancelled,
        )
        packed.unlink()
        job = client.follow(job.id, progress=part_of(tools.progress, _SENT, _READ), cancelled=tools.cancelled)
        if job.state == "refused":
            raise StudyRefusedError(job.text)
        if job.state != "done" or len(job.studies) != 1:
            raise DetectionError(job.text or "The server read the study and has no finding; ask whoever runs it.")
        finding = client.finding(
            job.studies[0], work / "finding", progress=tools.span(_READ, 0.98), cancelled=tools.cancelled
        )
        check_finding(finding, load_study(request.path("study")), detector, model)
        tools.at("Writing the result", 0.98)
        return {"finding": str(save_result(finding, request.path("out")))}


def check_finding(finding: "Finding", study: "Study", detector: str, model: str | None) -> None:
    """See to it that a finding from elsewhere is about this study.

    Raises
    ------
    RemoteError
        Detector, model, series, grid or slices are others.
    """
    import numpy as np

    from AcuteFindingsLib.providers.load import split_model

    package, _provider = split_model(model)
    fits = (
        finding.detector == detector
        and package in (None, finding.model.id)
        and finding.series_instance_uid == study.dicom.series_instance_uid
        and np.allclose(finding.ijk_to_ras, study.ijk_to_ras, atol=1e-4)
        and all(mask.array.shape == study.array.shape for mask in finding.masks)
        and all(
            one.index < len(study.sources) and one.sop_instance_uid == study.sources[one.index].sop_instance_uid
            for one in finding.slices
        )
    )
    if not fits:
        raise RemoteError(
            "The finding that the server sent is not about the study that was sent; run again, and if it stays, update "
            "AcuteFindings on both computers."
        )


REMOTE_JOBS: dict[str, Callable[[Request, Tools], dict[str, Any]]] = {
    job.__name__: job for job in (remote_version, remote_detect)
}


def main() -> int:
    """Serve as `jobs.worker` does; return the exit status."""
    return worker.main({**JOBS, **WORKLIST_JOBS, **REMOTE_JOBS})


def _address(request: Request) -> "Address":
    from AcuteFindingsLib.pacs.login import read_secret_file
    from AcuteFindingsLib.serve.address import Address

    url = request.optional_text("address")
    if not url:
        raise RemoteError(
            "No server is named yet; enter its address in the module Acute Findings, under Remote server."
        )
    token_file, ca_file = request.optional_text("token_file"), request.optional_text("ca_file")
    token = read_secret_file(Path(token_file), "the token of the server").get_secret_value() if token_file else ""
    return Address(url, token, Path(ca_file) if ca_file else None, unencrypted=request.flag("unencrypted"))


if __name__ == "__main__":
    sys.exit(main())
