"""The project shown to a stranger: one sample study for each detector, run from DICOM to report."""

from pathlib import Path

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study
from AcuteFindingsLib.jobs.write_results import StudyResult
from AcuteFindingsLib.phantoms.write_dicom import write_phantom
from AcuteFindingsLib.progress import Cancelled, Progress, never_cancelled, no_progress, stop_if


def run_demo(
    out: Path,
    *,
    seed: int,
    device: str = "auto",
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> list[StudyResult]:
    """Make a positive phantom for each detector below ``out/studies`` and run it; results are in ``out/<detector>``."""
    results = []
    samples = [(kind.id, kind.phantoms.generator) for kind in kinds() if kind.phantoms is not None]
    for number, (detector, kind) in enumerate(samples):
        low = number / len(samples)
        stop_if(cancelled)
        progress(f"Making a sample study ({kind})", low)
        folder = write_phantom(make_phantom(kind, seed, positive=True), out / "studies")
        request = StudyRequest(source=folder / "dicom", out=out / detector, detector=detector, device=device)

        def within(text: str, fraction: float, low: float = low, name: str = detector) -> None:
            progress(f"{name}: {text}", low + (0.15 + 0.85 * fraction) / len(samples))

        results.append(run_study(request, progress=within, cancelled=cancelled))
    return results
