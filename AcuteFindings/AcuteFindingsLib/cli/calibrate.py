"""`acutefindings calibrate`: thresholds with promises, from a site's own studies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.cli.common import AsJson, listed, one_of, out_console, print_json, progress_bar
from AcuteFindingsLib.cli.tables import print_rows
from AcuteFindingsLib.detectors.registry import detector_ids
from AcuteFindingsLib.errors import CalibrationError

if TYPE_CHECKING:
    from AcuteFindingsLib.trust.calibration import Calibration, Promise

_PPV, _NPV, _CONFIDENCE = 0.9, 0.98, 0.9
_SHARES = {"min": 0.5, "max": 0.9999}


def calibrate(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Folder of results of run or batch; or a calibration to install.")
    ],
    truth: Annotated[
        Path | None, typer.Option("--truth", help="CSV that names the studies, with a column of 0 and 1.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help=f"{listed(detector_ids())}.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The calibration to write, JSON; a page comes beside it.")
    ] = None,
    site: Annotated[str, typer.Option("--site", help="The site's name, as verdicts show it.")] = "this site",
    ppv: Annotated[
        float | None, typer.Option("--ppv", **_SHARES, help=f"Of positive verdicts at least this share right; {_PPV}.")
    ] = None,
    npv: Annotated[
        float | None, typer.Option("--npv", **_SHARES, help=f"Of negative verdicts at least this share right; {_NPV}.")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option("--sensitivity", **_SHARES, help="Of studies with the finding, not called negative.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option("--specificity", **_SHARES, help="Of studies without it, not called positive.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", **_SHARES, help=f"With which each promise holds; default: {_CONFIDENCE}."),
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Promise sensitivity and specificity on average over calibrations.")
    ] = False,
    label: Annotated[str | None, typer.Option("--label", help="Column of the truth that says what is so.")] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", help="Column of the truth that names the patient.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Use it from now on for the verdicts of this model in this account.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate a model on local studies: verdicts with promised error rates, and "indeterminate" between them."""
    from AcuteFindingsLib.trust.site_files import install_calibration, read_calibration, write_calibration

    if results.is_file():
        if truth is not None or out is not None or not install:
            raise CalibrationError(
                f"{results} is a file: name a folder of results with --truth, or a calibration alone with --install."
            )
        calibration = read_calibration(results)
        out_console.print(f"{calibration.name}: installed as {install_calibration(calibration)}")
        return
    promise = _promise(ppv, npv, sensitivity, specificity, confidence, average=average)
    if truth is None or kind is None or out is None:
        raise CalibrationError(
            "Name the truth with --truth, the detector with --kind and the file to write with --out."
        )
    if out.suffix.lower() != ".json":
        raise CalibrationError(f"--out {out}: name a file that ends in .json.")
    one_of("--kind", kind, detector_ids())
    from AcuteFindingsLib.trust.calibrate import make_calibration
    from AcuteFindingsLib.trust.calibration_page import figures_of, notes_of, write_calibration_page
    from AcuteFindingsLib.trust.site_results import read_site_results

    with progress_bar() as progress:
        studies = read_site_results(results, truth, kind, column=label, patient=patient)
        calibration = make_calibration(studies, promise, site=_site(site), progress=progress)
    figures = figures_of(calibration, studies)
    notes = [*studies.notices, *notes_of(calibration, studies)]
    write_calibration(calibration, out)
    page = write_calibration_page(calibration, studies, out.with_suffix(".html"))
    installed = install_calibration(calibration) if install else None
    if as_json:
        print_json(
            {
                **calibration.model_dump(mode="json", exclude={"studies"}),
                "figures": [figure.model_dump(mode="json") for figure in figures],
                "notes": notes,
            }
        )
        return
    _print(calibration)
    print_rows(
        ("", "promised", "in repeated splits", "of its own studies", "by the model's own rule"),
        [(figure.name, figure.promised, figure.held, figure.own, figure.by_rule) for figure in figures],
    )
    for note in notes:
        out_console.print(f"  note: {note}")
    out_console.print(f"  calibration  {out}")
    out_console.print(f"  page         {page}")
    if installed:
        out_console.print(f"  installed    {installed} (delete this file to end its use)")
    else:
        out_console.print(f"  use it with  --calibration {out}, or install it: acutefindings calibrate {out} --install")
    out_console.print(f"  {RESEARCH_USE_ONLY}")


def _promise(
    ppv: float | None,
    npv: float | None,
    sensitivity: float | None,
    specificity: float | None,
    confidence: float | None,
    *,
    average: bool,
) -> "Promise":
    from AcuteFindingsLib.trust.calibration import Promise

    rates = sensitivity is not None or specificity is not None
    if rates and (ppv is not None or npv is not None):
        raise CalibrationError("Promise --ppv and --npv, or --sensitivity and --specificity, not both.")
    if average and (not rates or confidence is not None):
        raise CalibrationError("--average goes with --sensitivity and --specificity, and without --confidence.")
    sure = _CONFIDENCE if confidence is None else confidence
    if not rates:
        return Promise(kind="predictive values", positive=ppv or _PPV, negative=npv or _NPV, confidence=sure)
    if sensitivity is None or specificity is None:
        raise CalibrationError("Name both --sensitivity and --specificity.")
    return Promise(kind="error rates", positive=specificity, negative=sensitivity, confidence=None if average else sure)


def _site(name: str) -> str:
    from AcuteFindingsLib.names import LONGEST, printable

    said = " ".join(printable(name).split())
    if not 0 < len(said) <= LONGEST:
        raise CalibrationError(f"--site: a name of 1 to {LONGEST} characters is expected.")
    return said


def _print(calibration: "Calibration") -> None:
    model = calibration.model
    out_console.print(
        f"{calibration.detector} by {model.id} {model.version} at {calibration.name}; {calibration.positives} of them "
        "have the finding."
    )
    out_console.print(f"Promised: {calibration.promise.words}.")
    low, high = calibration.negative_below, calibration.positive_from
    between = "" if low == high else ", between them indeterminate"
    out_console.print(
        f"Below {low:.4g} negative, from {high:.4g} on positive{between}. Temperature {calibration.temperature:.2f}."
    )
