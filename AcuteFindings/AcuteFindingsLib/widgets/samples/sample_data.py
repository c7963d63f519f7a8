"""The sample studies: phantoms that the library makes on the spot, so that nothing is downloaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AcuteFindingsLib.detectors.registry import kinds
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.resources import resource_path
from AcuteFindingsLib.widgets.models.packages import ensure_packages
from AcuteFindingsLib.widgets.samples.phantom_volume import load_phantom

CATEGORY = "AcuteFindings"


@dataclass(frozen=True)
class Sample:
    """One sample study.

    Attributes
    ----------
    name
        What the Sample Data module calls it, in English; also the volume node's name.
    detector
        The detector that it is for.
    kind, seed, positive, options
        Of the phantom, as `load_phantom` takes them. A pair of one seed differs in the finding alone.
    thumbnail
        Name of its picture in ``Resources/Icons``.
    """

    name: str
    detector: str
    kind: str
    seed: int
    positive: bool
    options: tuple[tuple[str, Any], ...]
    thumbnail: str


def samples() -> tuple[Sample, ...]:
    """Return the sample studies of every detector that has any."""
    return tuple(
        Sample(
            name=sample.name,
            detector=kind.id,
            kind=kind.phantoms.generator,
            seed=kind.phantoms.seed,
            positive=sample.positive,
            options=tuple(kind.phantoms.options.items()),
            thumbnail=sample.thumbnail,
        )
        for kind in kinds()
        if kind.phantoms is not None
        for sample in kind.phantoms.samples
    )


def register_samples() -> None:
    """Offer the samples in the Sample Data module; again is no harm."""
    import SampleData

    logic = SampleData.SampleDataLogic
    # Slicer has titles for categories since 2026; before, the category's name is its title.
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("AcuteFindings (phantoms)"))
    for sample in samples():
        # Without a uri nothing is downloaded; all lists have to be of one length.
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            uris=[""],
            fileNames=[sample.name],
            nodeNames=[sample.name],
            loadFiles=[False],
            loadFileTypes=[None],
            checksums=[None],
            customDownloader=load_source,
            thumbnailFileName=str(thumbnail(sample)),
        )


def load_source(source: Any) -> list[Any]:
    """Load the sample that a source of the Sample Data module stands for; what went wrong is shown.

    Returns
    -------
    list
        The volume node; empty where there is none.
    """
    try:
        sample = next(sample for sample in samples() if sample.name == source.sampleName)
        node = load_sample(sample)
    except AcuteFindingsError as error:
        slicer.util.errorDisplay(str(error), windowTitle=_("AcuteFindings"))
        return []
    return [] if node is None else [node]


def load_sample(sample: Sample, *, worker: Any = None) -> Any:
    """Make a sample and show it in the slice views; returns the volume node.

    None where packages are missing and the user did not want them installed.

    Raises
    ------
    AcuteFindingsError
        When the worker could not make it.
    """
    if not ensure_packages(slicer.util.mainWindow()):
        return None
    dialog = _progress_dialog(sample)
    try:
        node = load_phantom(
            sample.kind,
            sample.seed,
            positive=sample.positive,
            name=sample.name,
            options=dict(sample.options),
            worker=worker,
            progress=None if dialog is None else lambda text, _share: dialog.setLabelText(text),
        )
    finally:
        if dialog is not None:
            dialog.close()
            dialog.deleteLater()
    slicer.util.setSliceViewerLayers(background=node, foreground=None, label=None, fit=True)
    return node


def thumbnail(sample: Sample) -> Path:
    """Return the sample's picture."""
    return resource_path("Icons", sample.thumbnail)


def _progress_dialog(sample: Sample) -> Any | None:
    """Return a dialog that says what is being made; None where there is no window to show it in."""
    parent = slicer.util.mainWindow()
    if parent is None:
        return None
    dialog = qt.QProgressDialog(parent)
    dialog.setWindowTitle(sample.name)
    dialog.setLabelText(_("Making the phantom"))
    # How long it takes depends on the machine alone; a bar that only moves says as much as is known.
    dialog.setRange(0, 0)
    dialog.setCancelButton(None)
    dialog.setWindowModality(qt.Qt.WindowModal)
    dialog.show()
    return dialog
