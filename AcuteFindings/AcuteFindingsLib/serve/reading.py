"""What workers do with uploads: each is read as its own job asks, with networks that stay in memory for all of them."""

from dataclasses import replace

from AcuteFindingsLib.jobs.tools import WarmModels
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.serve.job_files import JobFiles
from AcuteFindingsLib.worklist.exams import Exam
from AcuteFindingsLib.worklist.reading import Outcome, Reader, ReadSettings


class UploadReader:
    """A reader as engines take it (`worklist.engines.engine`)."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings, self._models = settings, WarmModels()

    def read(self, exam: Exam, *, progress: Progress = no_progress) -> list[Outcome]:
        """Read an uploaded examination by the detector and the model that its job names."""
        job = JobFiles(self._settings.out).job_of(exam.source)
        settings = replace(self._settings, detector=job.detector, model=job.model, upload=True, retry_failed=True)
        return Reader(settings, self._models).read(exam, progress=progress)


def make_reader(settings: ReadSettings) -> UploadReader:
    """Return the reader of a worker."""
    return UploadReader(settings)
