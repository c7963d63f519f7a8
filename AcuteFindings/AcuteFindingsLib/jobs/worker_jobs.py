"""What the worker process can be asked to do; each job imports what it needs when it is first asked."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from AcuteFindingsLib.errors import AcuteFindingsError, DetectionError, ModelError
from AcuteFindingsLib.jobs.messages import MessageError, Request
from AcuteFindingsLib.jobs.public_jobs import import_public, public_models
from AcuteFindingsLib.jobs.tools import Tools
from AcuteFindingsLib.places import temporary_folder
from AcuteFindingsLib.study.notice import refusals

if TYPE_CHECKING:
    from AcuteFindingsLib.detectors.finding import Finding
    from AcuteFindingsLib.detectors.kind import DetectorKind
    from AcuteFindingsLib.models.package import ModelPackage
    from AcuteFindingsLib.study.study import Study


def ping(_request: Request, _tools: Tools) -> dict[str, Any]:
    """Answer."""
    return {}


def devices(_request: Request, _tools: Tools) -> dict[str, Any]:
    """List where ONNX Runtime can compute on this computer, the best first."""
    from AcuteFindingsLib.models.device import onnx_devices

    return {"devices": list(onnx_devices())}


def check(request: Request, tools: Tools) -> dict[str, Any]:
    """Say whether a study is one that a detector was made for."""
    from AcuteFindingsLib.study.checks import check_study

    tools.at("Checking the study", 0.0)
    notices = check_study(_study(request), _kind(request).requirements)
    return {"fits": not refusals(notices), "notices": [asdict(notice) for notice in notices]}


def detect(request: Request, tools: Tools) -> dict[str, Any]:
    """Run a detector on a study and write its result."""
    from AcuteFindingsLib.jobs.arrays import save_result
    from AcuteFindingsLib.jobs.detect import detect as detect_in

    started = perf_counter()
    out = request.path("out")
    tools.at("Reading the study", 0.0)
    finding, _ = detect_in(
        _study(request),
        _kind(request).id,
        started=started,
        model=request.optional_text("model"),
        device=request.optional_text("device") or "auto",
        folders=_existing(request.folders()),
        force=request.flag("force"),
        calibration=request.optional_text("calibration"),
        load=tools.models.load,
        progress=tools.span(0.02, 0.98),
        cancelled=tools.cancelled,
    )
    tools.at("Writing the result", 0.98)
    return {"finding": str(save_result(finding, out))}


def models(request: Request, _tools: Tools) -> dict[str, Any]:
    """List every model that can be found, the damaged ones with what is wrong."""
    from AcuteFindingsLib.models.find import DamagedPackage, list_packages

    folders = request.folders()
    gone = [DamagedPackage(folder, f"{folder} no longer exists.") for folder in folders if not folder.is_dir()]
    return {"models": [_model_row(package) for package in (*list_packages(folders=_existing(folders)), *gone)]}


def card(request: Request, _tools: Tools) -> dict[str, Any]:
    """Return a model card, Markdown."""
    from AcuteFindingsLib.models.package import read_package

    return {"text": read_package(request.path("folder")).read_card_text()}


def verify(request: Request, tools: Tools) -> dict[str, Any]:
    """Prove a model package: checksums, names, shapes and values."""
    from AcuteFindingsLib.models.package import read_package
    from AcuteFindingsLib.models.verify import verify_package

    tools.at("Verifying the model", 0.0)
    try:
        verify_package(read_package(request.path("folder")))
    except ModelError as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True, "error": ""}


def import_model(request: Request, tools: Tools) -> dict[str, Any]:
    """Make a model package of weights from elsewhere, in the folder of downloaded packages."""
    from AcuteFindingsLib.detectors.import_proof import detector_difference
    from AcuteFindingsLib.detectors.importing import import_model as import_file
    from AcuteFindingsLib.detectors.importing import recognize
    from AcuteFindingsLib.models.importing.converted import Options
    from AcuteFindingsLib.models.importing.recognize import free_id
    from AcuteFindingsLib.places import models_cache

    file = request.path("file")
    tools.at(f"Reading {file.name}", 0.0)
    folder = Path(request.optional_text("folder") or models_cache())
    task: Any = request.optional_text("task")
    package = import_file(
        file,
        architecture=request.optional_text("architecture") or recognize(file),
        out=folder / free_id(file, folder),
        options=Options(task=task),
        say=detector_difference,
        progress=tools.span(0.05, 1.0),
        cancelled=tools.cancelled,
    )
    return {"folder": str(package.folder), "id": package.id}


def report(request: Request, tools: Tools) -> dict[str, Any]:
    """Write report, finding and pictures of a result that `detect` gave."""
    from AcuteFindingsLib.jobs.arrays import load_result
    from AcuteFindingsLib.jobs.results_folder import results_folder, writing
    from AcuteFindingsLib.jobs.write_results import write_results

    out = request.path("out")
    tools.at("Reading the result", 0.0)
    finding = load_result(request.path("result"))
    package, companions = _packages_of(finding, request)
    study = _study(request)
    _torch_first()
    with results_folder(out, what="Folder") as work, writing(f"Folder {out}"):
        # The scene is the application's own to save.
        result = write_results(
            finding,
            study,
            work,
            package=package,
            companions=companions,
            scene=False,
            progress=tools.span(0.1, 1.0),
        )
    result = result.moved(work, out)
    return {
        "report": str(result.report),
        "finding": str(result.finding_file),
        "pictures": [str(picture.path) for picture in result.pictures],
        "remarks": list(result.remarks),
    }


def dicom_seg(request: Request, tools: Tools) -> dict[str, Any]:
    """Write masks and heat map of a result as DICOM Segmentation."""
    return _dicom(request, tools, ("seg",))


def dicom_sr(request: Request, tools: Tools) -> dict[str, Any]:
    """Write a result as DICOM Structured Report, with the segmentation that it refers to."""
    return _dicom(request, tools, ("seg", "sr"))


def dicom_sc(request: Request, tools: Tools) -> dict[str, Any]:
    """Write the chart of a result, of a radiograph its first picture, as DICOM Secondary Capture."""
    return _dicom(request, tools, ("sc",))


def phantom(request: Request, tools: Tools) -> dict[str, Any]:
    """Make a phantom and write its DICOM and its truth."""
    from AcuteFindingsLib.detectors.phantoms import make_phantom, phantom_kinds
    from AcuteFindingsLib.phantoms.write_dicom import write_phantom

    seed, positive, options = (request.fields.get(name) for name in ("seed", "positive", "options"))
    if not isinstance(seed, int) or not isinstance(positive, bool | None) or not isinstance(options, dict | None):
        raise MessageError("A phantom needs a whole number as seed, positive true or false, and options by name.")
    kind = request.text("kind")
    if kind not in phantom_kinds():
        raise MessageError(f"There is no phantom {kind!r}; choose one of {', '.join(phantom_kinds())}.")
    tools.at("Making the phantom", 0.0)
    made = make_phantom(kind, seed, positive=positive, **(options or {}))
    tools.at("Writing DICOM", 0.7)
    folder = write_phantom(made, request.path("out"))
    return {"dicom": str(folder / "dicom"), "truth": str(folder / "truth")}


def catalogue(request: Request, _tools: Tools) -> dict[str, Any]:
    """List the models of a catalogue: the one that ships, or one named by file or address."""
    from AcuteFindingsLib.models.download.catalogue import load_catalogue

    listed = load_catalogue(request.optional_text("catalogue"))
    return {"models": [entry.model_dump(mode="json", by_alias=True) for entry in listed.models]}


def download(request: Request, tools: Tools) -> dict[str, Any]:
    """Download a model of a catalogue, verify and install it; stopped, it keeps what has come for the next time."""
    from AcuteFindingsLib.models.download.catalogue import load_catalogue
    from AcuteFindingsLib.models.download.install import download_model

    tools.at("Reading the catalogue", 0.0)
    entry = load_catalogue(request.optional_text("catalogue")).entry(request.text("model"))
    cache = request.optional_text("cache")
    package = download_model(
        entry, cache=Path(cache) if cache else None, progress=tools.progress, cancelled=tools.cancelled
    )
    return {"model": package.id, "folder": str(package.folder)}


JOBS: dict[str, Callable[[Request, Tools], dict[str, Any]]] = {
    job.__name__: job
    for job in (
        ping,
        devices,
        check,
        detect,
        models,
        card,
        verify,
        import_model,
        report,
        dicom_seg,
        dicom_sr,
        dicom_sc,
        phantom,
        catalogue,
        download,
        public_models,
        import_public,
    )
}


def _dicom(request: Request, tools: Tools, kinds: tuple[str, ...]) -> dict[str, Any]:
    from AcuteFindingsLib.export.dicom_results import FILES, require_dicom, write_dicom_results
    from AcuteFindingsLib.jobs.arrays import load_result
    from AcuteFindingsLib.jobs.results_folder import results_folder, writing
    from AcuteFindingsLib.jobs.write_results import draw, picture_to_capture

    out = request.path("out")
    tools.at("Reading the result", 0.0)
    finding, study = load_result(request.path("result")), _study(request)
    source = require_dicom(study)
    with temporary_folder() as folder:
        picture = None
        if "sc" in kinds:
            tools.at("Drawing the pictures", 0.05)
            _torch_first()
            picture = picture_to_capture(draw(finding, study, folder)[1])
        names = [name for kind in kinds for name in FILES[kind]]
        with results_folder(out, entries=names, what="Folder") as work, writing(f"Folder {out}"):
            progress = tools.span(0.2, 1.0)
            written = write_dicom_results(
                finding, study, work, kinds=kinds, picture=picture, source=source, progress=progress
            )
    files = [str(out / file.relative_to(work)) for file in written.files]
    return {"folder": str(out), "files": files, "remarks": list(written.remarks)}


def _study(request: Request) -> "Study":
    from AcuteFindingsLib.jobs.arrays import load_study
    from AcuteFindingsLib.study.gray_values import make_finite

    study = load_study(request.path("study"))
    # A volume node may hold what is not a number, as a file may: both are read alike.
    return replace(study, notices=(*study.notices, *make_finite(study.array)))


def _kind(request: Request) -> "DetectorKind":
    from AcuteFindingsLib.detectors.registry import find_kind

    try:
        return find_kind(request.text("detector"))
    except DetectionError as error:
        raise MessageError(str(error)) from error


def _existing(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Leave out what is not there: a drive that is not plugged in must not hide the models that are."""
    return tuple(folder for folder in folders if folder.is_dir())


def _model_row(package: Any) -> dict[str, Any]:
    from AcuteFindingsLib.models.find import DamagedPackage
    from AcuteFindingsLib.resources import resource_path

    try:
        shipped = resource_path("Models") in package.folder.parents
    except AcuteFindingsError:
        shipped = False
    where = {"id": package.id, "folder": str(package.folder), "shipped": shipped}
    if isinstance(package, DamagedPackage):
        unknown = dict.fromkeys(("task", "title", "version", "license", "trained_on", "sha256"), "")
        return {**where, **unknown, "size_mb": 0.0, "phantoms_only": False, "error": package.error}
    weights = package.folder / package.weights
    return {
        **where,
        "task": package.card.task,
        "title": package.card.title,
        "version": package.version,
        "size_mb": round(weights.stat().st_size / 1e6, 1) if weights.is_file() else 0.0,
        "license": package.card.license,
        "trained_on": package.card.training_data.summary,
        "phantoms_only": package.card.training_data.phantoms_only,
        "error": "" if weights.is_file() else f"{weights} is missing; fetch the package again.",
        "sha256": package.sha256,
    }


def _packages_of(finding: "Finding", request: Request) -> "tuple[ModelPackage, list[ModelPackage]]":
    """Return the packages that gave a result, its own and the companions; their cards stand in the report."""
    from AcuteFindingsLib.detectors.load import companion_packages
    from AcuteFindingsLib.models.find import find_package
    from AcuteFindingsLib.providers.load import package_of_finding, split_model

    folders = _existing(request.folders())
    identity = finding.model
    provided = package_of_finding(finding.detector, identity)
    if provided is not None:
        return provided, []
    model, provider = split_model(request.optional_text("model"))
    package = find_package(model or identity.id, folders=folders)
    if (package.id, package.sha256) != (identity.id, identity.sha256):
        raise ModelError(
            f"The model {identity.id} {identity.version} that gave this result is not in {package.folder} any more; "
            "run the detector again with the model that is there."
        )
    if provider is not None:
        return package, []
    companions = list(companion_packages(package, finding.detector, folders=folders).values())
    return package, companions


def _torch_first() -> None:
    """Load what dies when it comes second: torch's compiler and Mesa's software renderer each bring an LLVM."""
    with suppress(ImportError):
        import torch._dynamo  # noqa: F401
