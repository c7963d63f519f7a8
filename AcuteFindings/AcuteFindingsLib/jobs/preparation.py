"""What writing results takes to load, loaded while the network runs: in a fresh process as long as the writing."""

import importlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress


class Preparation:
    """Loads in the background what `write_results` needs; without it, that is loaded when it is needed."""

    def __init__(self, *, dicom: bool = False) -> None:
        """Load nothing yet; `dicom` is whether DICOM results are going to be written, too."""
        self._dicom = dicom
        self._loading: Future[None] | None = None

    def start(self) -> None:
        """Begin."""
        background = ThreadPoolExecutor(1, thread_name_prefix="acutefindings-preparation")
        self._loading = background.submit(_load, dicom=self._dicom)
        background.shutdown(wait=False)

    def wait(self) -> None:
        """Return when all is loaded; at once where nothing was begun."""
        if self._loading is not None:
            self._loading.result()


def _load(*, dicom: bool) -> None:
    # What does not load here, whatever it raises, does not load when results are written, and is told then.
    with suppress(Exception):
        from AcuteFindingsLib.scene.offscreen import offscreen_rendering_problem

        offscreen_rendering_problem()
    names = ["export.report", "pages.charts", "matplotlib.backends.backend_svg", "scene.bundle"]
    if dicom:
        names += [f"export.dicom_{part}" for part in ("report", "segmentation", "capture")]
    for name in names:
        with suppress(Exception):
            importlib.import_module(name if name.startswith("matplotlib") else f"AcuteFindingsLib.{name}")
