"""What a finding leaves behind: JSON, pictures, report, scene and DICOM; for the command line and the worker alike."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.errors import SceneError
from AcuteFindingsLib.export.dicom_results import CapturedPicture
from AcuteFindingsLib.export.report import report_chart, write_report
from AcuteFindingsLib.models.package import ModelPackage
from AcuteFindingsLib.progress import Progress, no_progress
from AcuteFindingsLib.scene.picture_plan import Picture
from AcuteFindingsLib.scene.pictures import draw_pictures
from AcuteFindingsLib.study.study import Study


@dataclass(frozen=True)
class StudyResult:
    """What a run left behind. `remarks` are one-line explanations of what was done differently and why."""

    finding: Finding
    finding_file: Path
    report: Path
    pictures: tuple[Picture, ...]
    scene: Path | None = None
    remarks: tuple[str, ...] = field(default=())
    dicom: tuple[Path, ...] = ()

    def moved(self, work: Path, out: Path) -> "StudyResult":
        """Return the result with its files, written into `work`, where they are now."""

        def at(path: Path) -> Path:
            return out / path.relative_to(work)

        return replace(
            self,
            finding_file=at(self.finding_file),
            report=at(self.report),
            pictures=tuple(replace(picture, path=at(picture.path)) for picture in self.pictures),
            scene=None if self.scene is None else at(self.scene),
            dicom=tuple(map(at, self.dicom)),
        )


def write_results(
    finding: Finding,
    study: Study,
    out: Path,
    *,
    package: ModelPackage,
    companions: Sequence[ModelPackage] = (),
    scene: bool = True,
    progress: Progress = no_progress,
) -> StudyResult:
    """Write finding, masks, pictures, report and, with `scene`, a Slicer scene below `out`, an empty folder.

    Raises
    ------
    ExportError, OSError
        A file cannot be written.
    """
    progress("Writing the finding", 0.0)
    finding_file = finding.save(out)
    progress("Drawing the pictures", 0.2)
    with ThreadPoolExecutor(1) as background:
        chart = background.submit(report_chart, finding, [package, *companions])
        scene_file, pictures, remarks = draw(finding, study, out / "pictures", out / "scene.mrb" if scene else None)
    progress("Writing the report", 0.9)
    report = write_report(
        finding,
        study=study,
        package=package,
        companions=companions,
        pictures=pictures,
        folder=out,
        chart=chart.result,
    )
    progress("Done", 1.0)
    return StudyResult(finding, finding_file, report, pictures, scene_file, remarks)


def draw(
    finding: Finding, study: Study, folder: Path, scene_file: Path | None = None
) -> tuple[Path | None, tuple[Picture, ...], tuple[str, ...]]:
    """Draw the pictures of a finding from a scene of its own, and save that scene where a file is named for it.

    Returns
    -------
    tuple
        The scene's file (None where none was asked for or can be made), the pictures, and in one line each what was
        done differently.
    """
    remarks: list[str] = []
    drawn: list[tuple[tuple[Picture, ...], str]] = []
    try:
        from AcuteFindingsLib.scene.bundle import write_scene

        scene_file, _ = write_scene(
            finding,
            study,
            scene_file,
            meanwhile=lambda nodes: drawn.append(draw_pictures(finding, study, nodes, folder)),
        )
    # A Python beside Slicer may have some of its classes only.
    except (SceneError, AttributeError) as error:
        if scene_file is not None:
            remarks.append(f"No scene was written: {error}")
        scene_file = None
    pictures, reason = drawn[0] if drawn else draw_pictures(finding, study, None, folder)
    return scene_file, pictures, (*remarks, *([reason] if reason else []))


def picture_to_capture(pictures: Sequence[Picture]) -> CapturedPicture | None:
    """Return the chart, of a radiograph the first picture; None without any."""
    charts = [picture for picture in pictures if picture.kind == "chart"]
    chosen = next(iter([*charts, *pictures]), None)
    return None if chosen is None else CapturedPicture(chosen.path, chosen.caption)
