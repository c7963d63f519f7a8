"""The commands that read studies and images, and those that make them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.cli.common import (
    AsJson,
    Calibration,
    Device,
    Input,
    Model,
    ModelFolders,
    Out,
    Series,
    Threads,
    device_name,
    err_console,
    listed,
    one_of,
    out_console,
    plain,
    print_json,
    progress_bar,
)
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.phantoms import phantom_kinds
from AcuteFindingsLib.detectors.registry import detector_ids, find_kind, image_tasks
from AcuteFindingsLib.errors import StudyError

if TYPE_CHECKING:
    from AcuteFindingsLib.jobs.predict_images import ImagesResult
    from AcuteFindingsLib.jobs.write_results import StudyResult
    from AcuteFindingsLib.study.notice import Notice

_MOST_NAMED = 50


def run(
    input: Input,
    out: Out,
    detector: Annotated[str, typer.Option("--detector", help=f"{listed((*detector_ids(), 'auto'))}.")] = "auto",
    series: Series = None,
    model: Model = None,
    calibration: Calibration = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    force: Annotated[bool, typer.Option("--force", help="Run although the check refuses the study.")] = False,
    models_folder: ModelFolders = None,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Also write DICOM Segmentation and Structured Report, into OUT/dicom.")
    ] = False,
    dicom_chart: Annotated[
        bool, typer.Option("--dicom-chart", help="Also write the chart as DICOM Secondary Capture, into OUT/dicom.")
    ] = False,
) -> None:
    """Detect in one study; write finding.json, report.html, pictures and a Slicer scene."""
    from AcuteFindingsLib.jobs.run_study import StudyRequest, run_study

    one_of("--detector", detector, (*detector_ids(), "auto"))
    request = StudyRequest(
        source=input,
        out=out,
        detector=detector,
        series=series,
        model=model,
        calibration=calibration,
        device=device_name(device),
        force=force,
        model_folders=tuple(models_folder or ()),
        dicom=dicom,
        dicom_chart=dicom_chart,
    )
    with progress_bar() as progress:
        result = run_study(request, progress=progress)
    _print_result(result)


def check(
    input: Input,
    detector: Annotated[str, typer.Option("--detector", help=f"{listed(detector_ids())}.")],
    series: Series = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a study fits a detector; exit status 1 if it is refused."""
    from AcuteFindingsLib.study.checks import check_study
    from AcuteFindingsLib.study.notice import refusals
    from AcuteFindingsLib.study.reader import read_study

    one_of("--detector", detector, detector_ids())
    requirements = find_kind(detector).requirements
    with progress_bar() as progress:
        study = read_study(input, requirements=requirements, series=series, progress=progress)
        notices = check_study(study, requirements)
    fits = not refusals(notices)
    if as_json:
        answer = {
            "input": input.name,
            "detector": detector,
            "fits": fits,
            "notices": [asdict(notice) for notice in notices],
        }
        print_json(answer)
    else:
        _print_notices(input, detector, notices, fits=fits)
    if not fits:
        raise typer.Exit(1)


def _print_notices(input: Path, detector: str, notices: Sequence["Notice"], *, fits: bool) -> None:
    warnings = sum(notice.severity == "warn" for notice in notices)
    verdict = ("fits" + f", with {counted(warnings, 'warning')}" * bool(warnings)) if fits else "REFUSED"
    if notices:
        rows = [(notice.severity, notice.code, notice.text) for notice in notices]
        print_rows(("severity", "code", ""), rows, title=f"{input.name}: {verdict} ({detector})")
    else:
        out_console.print(f"{plain(input.name)}: fits ({detector}); no notices.")


def predict(
    detector: Annotated[str, typer.Option("--detector", help=f"{listed(image_tasks())}.")],
    images: Annotated[Path, typer.Option("--images", help="Folder with the images, also in folders below it.")],
    out: Annotated[Path, typer.Option("--out", help="A .csv file, or a folder for the table and the masks.")],
    listing: Annotated[Path | None, typer.Option("--list", help="Table whose column 'image' names the images.")] = None,
    model: Model = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    models_folder: ModelFolders = None,
) -> None:
    """Score many single images: a table of probabilities, and masks as PNG where the model draws any."""
    from AcuteFindingsLib.jobs.predict_images import ImagesRequest, predict_images

    one_of("--detector", detector, image_tasks())
    request = ImagesRequest(
        task=detector,
        images=images,
        out=out,
        listing=listing,
        model=model,
        device=device_name(device),
        model_folders=tuple(models_folder or ()),
    )
    with progress_bar() as progress:
        result = predict_images(request, progress=progress)
    out_console.print(f"{counted(result.count, 'image')} scored by {result.computed}. {RESEARCH_USE_ONLY}")
    for notice in result.notices:
        err_console.print(f"  {notice.severity}  {notice.text}")
    if result.table:
        out_console.print(f"  table   {result.table}")
    if result.masks:
        out_console.print(f"  masks   {counted(len(result.masks), 'PNG file')} in {request.out}")
    for name, reason in result.doubted[:_MOST_NAMED]:
        err_console.print(f"  warning  {plain(name)}: {plain(reason)}")
    if (more := len(result.doubted) - _MOST_NAMED) > 0:
        err_console.print(f"  warning  and {more} more")
    if result.failed:
        _print_failed(result)
        raise typer.Exit(1)


def _print_failed(result: "ImagesResult") -> None:
    err_console.print(f"acutefindings: {counted(len(result.failed), 'image')} could not be scored:")
    for name, reason in result.failed[:_MOST_NAMED]:
        err_console.print(f"  {plain(name)}: {plain(reason)}")
    more = len(result.failed) - _MOST_NAMED
    if more > 0:
        err_console.print(f"  and {more} more")
    if result.failed_table:
        err_console.print(f"  all in  {result.failed_table}")


def phantom(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"{listed(phantom_kinds())}.")],
    out: Out,
    count: Annotated[int, typer.Option("--count", min=1, help="How many studies.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first study; each further one adds 1.")] = 0,
    positive: Annotated[
        bool | None,
        typer.Option("--positive/--negative", help="With or without the finding; default: chosen by the seed."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", help="What looks like the finding or hides it; may be repeated (head-ct: shunt, …)."),
    ] = None,
) -> None:
    """Make computer-made studies as DICOM, with their truth; they depict no person."""
    from AcuteFindingsLib.detectors.phantoms import make_phantom, phantom_variants
    from AcuteFindingsLib.phantoms.write_dicom import write_phantom

    one_of("KIND", kind, phantom_kinds())
    if variant and not phantom_variants(kind):
        raise StudyError(f"--variant {variant[0]}: {kind} phantoms have no variants.")
    for name in variant or ():
        one_of("--variant", name, phantom_variants(kind))
    options = {"variants": tuple(variant)} if variant else {}
    with progress_bar() as progress:
        for number in range(count):
            progress(f"Making {kind} {seed + number}", number / count)
            folder = write_phantom(make_phantom(kind, seed + number, positive=positive, **options), out)
            out_console.print(str(folder))


def demo(
    out: Out = Path("demo-output"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample studies.")] = 900_001,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
) -> None:
    """Make one sample study for each detector and run them all."""
    from AcuteFindingsLib.jobs.demo import run_demo

    with progress_bar() as progress:
        results = run_demo(out, seed=seed, device=device_name(device), progress=progress)
    for result in results:
        _print_result(result)
    from AcuteFindingsLib.cli.public_models import print_that_there_are

    print_that_there_are()


def _print_result(result: "StudyResult") -> None:
    from AcuteFindingsLib.detectors.verdict_words import BEARINGS, computed_words, likeness_words, verdict_words

    finding = result.finding
    verdict = finding.verdict
    out_console.print(
        f"{finding.detector}: {verdict_words(finding)}  probability {verdict.probability:.2f} "
        f"(operating point {verdict.threshold:.2f}), model {finding.model.id} {finding.model.version}"
    )
    out_console.print(f"  {verdict.explanation}")
    if finding.model.chosen:
        out_console.print(f"  model     {plain(finding.model.chosen)}")
    if computed := computed_words(finding.model):
        out_console.print(f"  computed  {computed}")
    for notice in finding.warnings:
        if notice.severity != "info":
            out_console.print(f"  {notice.severity}: {notice.text}")
    for reason in finding.reasons:
        out_console.print(f"  {BEARINGS[reason.bearing][1].lower()}: {plain(reason.text)}")
    if finding.likeness is not None and finding.likeness.label != "like":
        out_console.print(f"  likeness: {likeness_words(finding.likeness)}")
    out_console.print(f"  report    {result.report}")
    if result.pictures:
        out_console.print(f"  pictures  {result.pictures[0].path.parent} ({len(result.pictures)})")
    if result.scene:
        out_console.print(f"  scene     {result.scene}")
    out_console.print(f"  finding   {result.finding_file}")
    if result.dicom:
        names = ", ".join(path.name for path in result.dicom)
        out_console.print(f"  dicom     {result.dicom[0].parent} ({names})")
    for remark in result.remarks:
        out_console.print(f"  note: {remark}")
    out_console.print(f"  {RESEARCH_USE_ONLY}")
