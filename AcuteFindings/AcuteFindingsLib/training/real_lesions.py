"""Measure models on findings drawn into real images: ``python -m AcuteFindingsLib.training.real_lesions TASK``.

Real positives at hand are too few to measure on. What is drawn is not what patients have; the figures say how a model
copes with real anatomy, noise and exposure around a finding.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy import ndimage

from AcuteFindingsLib.detectors.finding import Finding
from AcuteFindingsLib.detectors.pneumothorax.detector import LABEL, Outline, PneumothoraxRule, outlines
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.evaluation.contact_sheet import Panel, write_row, write_sheet
from AcuteFindingsLib.evaluation.intervals import auc_interval, decision_intervals, mean_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.phantoms.ctpa.generate import SLICE_AREA_MM2
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.study.reader import read_study
from AcuteFindingsLib.study.rle import decode_union
from AcuteFindingsLib.study.study import Study
from AcuteFindingsLib.training.lesions.emboli import Embolus, draw_embolus, draw_mixing
from AcuteFindingsLib.training.lesions.radiographs import DrawnRadiograph, draw_many, read_radiographs

# Volumes, and pictures, that are drawn where the command does not say how many, and the seed of the drawings.
COUNTS = {"pe": 24, "pneumothorax": 96}
SEED = 900_000
_BATCH = 8
_CTA = "cta-pulmonary-artery"
_SIIM = "chest-xray-dicom"


def lesions_command(task: str, count: int | None = None) -> str:
    """Return the command that measures on drawn findings the package that ships, as cards name it."""
    number = count or COUNTS[task]
    return f"python -m AcuteFindingsLib.training.real_lesions {task} --data DATA --out OUT --count {number}"


@dataclass(frozen=True)
class DrawnAngiogram:
    """A study with clots drawn in or none, and the clots' mask ``(z, y, x)``."""

    study: Study
    mask: np.ndarray
    kinds: tuple[str, ...]


def draw_angiograms(data: Path, *, count: int, seed: int = SEED) -> Iterator[DrawnAngiogram]:
    """Yield the real CT angiogram again and again: another enhancement, mixing and noise, every other with clots."""
    study = read_study(data / _CTA / "ct_cropped.nii.gz", requirements=find_kind("pe").requirements)
    artery = read_study(data / _CTA / "pulmonary_artery.nii.gz", requirements=find_kind("pe").requirements).array > 0.5
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(count)):
        rng = np.random.default_rng(child)
        volume = study.array.astype(np.float32)
        # Less contrast agent: whatever is brighter than muscle and liver comes down.
        volume = np.where(volume > 150, 150 + (volume - 150) * rng.uniform(0.55, 1.0), volume)
        if rng.random() < 0.5:
            volume = draw_mixing(rng, volume, artery, study.spacing)
        mask, kinds = np.zeros(volume.shape, bool), []
        for _ in range(int(rng.integers(1, 4)) if number % 2 else 0):
            drawn: Embolus | None = draw_embolus(rng, volume, artery & ~ndimage.binary_dilation(mask), study.spacing)
            if drawn is not None:
                volume, mask = drawn.volume, mask | drawn.mask
                kinds.append(drawn.kind)
        grain = ndimage.gaussian_filter(rng.standard_normal(volume.shape).astype(np.float32), (0, 0.6, 0.6))
        volume = volume + grain / grain.std() * rng.uniform(3, 16)
        yield DrawnAngiogram(replace(study, array=volume.astype(np.float32)), mask, tuple(kinds))


def measure_pe(
    run: Callable[[Study], Finding],
    drawn: Iterator[DrawnAngiogram],
    artery_slices: np.ndarray,
    *,
    command: str,
    report: Callable[[str], None] = print,
) -> tuple[list[Interval], list[Panel]]:
    """Return AUCs and verdicts on drawn angiograms as figures, and a picture of each volume that has clots.

    Parameters
    ----------
    run
        A detector's `run`; it is asked also where its check warns that the field cuts through the lungs.
    artery_slices
        ``(z,)`` bool: slices that hold pulmonary artery, where alone a clot can be drawn.
    """
    truth, score, volumes, studies, verdicts, called, panels = [], [], [], [], [], [], []
    for number, one in enumerate(drawn):
        finding = run(one.study)
        area = one.mask.sum(axis=(1, 2)) * float(np.prod(one.study.spacing[1:]))
        values = np.array([row.probabilities["pe"] for row in finding.slices])
        truth.append(area >= SLICE_AREA_MM2)
        score.append(values)
        volumes.append(np.full(len(values), number))
        studies.append(bool(one.kinds))
        verdicts.append(finding.verdict.probability)
        called.append(finding.verdict.label == "positive")
        report(f"volume {number + 1}: {', '.join(one.kinds) or 'no clot'}, probability {verdicts[-1]:.2f}")
        if one.kinds:
            z = int(area.argmax())
            picture = apply_window(one.study.array[z][None], level=200, width=800)[0]
            note = f"slice {values[z]:.2f}, study {verdicts[-1]:.2f}"
            panels.append(Panel(picture, title="\n".join(one.kinds), note=note, outline=one.mask[z]))
    flat, scores, groups = (np.concatenate(part) for part in (truth, score, volumes))
    near = np.tile(artery_slices, len(truth))
    data = (
        f"{sum(studies)} volumes with clots drawn into the pulmonary artery and {len(studies) - sum(studies)} without, "
        f"all from the CT angiogram of ONE patient ({_CTA}): the interval describes drawings, not patients"
    )
    return [
        auc_interval(
            np.array(studies), np.array(verdicts), metric="AUC, study, drawn clots", data=data, command=command
        ),
        auc_interval(flat, scores, metric="AUC, slice, drawn clots", data=data, command=command, patients=groups),
        auc_interval(
            flat[near],
            scores[near],
            metric="AUC, slice through the pulmonary artery, drawn clots",
            data=data,
            command=command,
            patients=groups[near],
        ),
        *decision_intervals(
            np.array(studies), np.array(called), metric="study, drawn clots", data=data, command=command
        ),
    ], panels


def measure_drawn_clots(
    run: Callable[[Study], Finding], data: Path, *, count: int = COUNTS["pe"]
) -> tuple[list[Interval], list[Panel]]:
    """Draw clots into the CT angiogram of `data` and return what `measure_pe` makes of a detector's answers."""
    artery = read_study(data / _CTA / "pulmonary_artery.nii.gz", requirements=find_kind("pe").requirements).array > 0.5
    return measure_pe(
        run,
        draw_angiograms(data, count=count),
        np.any(artery, axis=(1, 2)),
        command=lesions_command("pe", count),
    )


def measure_pneumothorax(
    predictor: Predictor, drawn: Sequence[DrawnRadiograph], *, command: str
) -> tuple[list[Interval], list[Panel]]:
    """Return AUC and Dice on drawn radiographs with intervals by patient, and a picture of each."""
    answers = _outlines([one.image for one in drawn], predictor)
    rule, empty = PneumothoraxRule.model_validate(predictor.card.rule), predictor.card.threshold("empty", LABEL)
    truth = np.array([one.positive for one in drawn])
    patients = np.array([one.source.patient for one in drawn])
    score = np.array([answer.probability for answer in answers])
    overlap = [
        dice(one.mask, rule.kept(answer, empty)) for one, answer in zip(drawn, answers, strict=True) if one.positive
    ]
    data = (
        f"pneumothorax drawn into {truth.sum()} real radiographs, and {np.count_nonzero(~truth)} with mimics alone, of "
        f"{len(set(patients))} patients not trained on (chest-xray-lungs)"
    )
    panels = [
        Panel(
            one.image,
            title=f"{one.kind or 'none'} {' '.join(one.tubes)}",
            note=f"probability {answer.probability:.2f}",
            outline=one.mask if one.positive else answer.mask,
        )
        for one, answer in zip(drawn, answers, strict=True)
    ]
    return [
        auc_interval(truth, score, metric="AUC, drawn findings", data=data, command=command, patients=patients),
        mean_interval(
            np.array(overlap),
            metric="Dice of the mask, after the empty rule, drawn findings",
            data=f"positive ones: {data}",
            command=command,
            patients=patients[truth],
        ),
    ], panels


def real_row(data: Path, predictor: Predictor) -> list[Panel]:
    """Return the SIIM-ACR radiographs at hand, each with a reader's outline where there is one and with the model's.

    None where `data` does not hold them.
    """
    folder = data / _SIIM
    if not folder.is_dir():
        return []
    with (folder / "train-rle.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream, skipinitialspace=True)][1:]
    images = {
        name: read_study(folder / f"{name}.dcm", requirements=find_kind("pneumothorax").requirements).array[0]
        for name, _ in rows
    }
    masks = {name: decode_union([text], images[name].shape) for name, text in rows}
    if (folder / "monochrome1_twin.dcm").is_file():
        images["monochrome1_twin"] = read_study(
            folder / "monochrome1_twin.dcm", requirements=find_kind("pneumothorax").requirements
        ).array[0]
    rule, empty = PneumothoraxRule.model_validate(predictor.card.rule), predictor.card.threshold("empty", LABEL)
    panels = []
    for (name, image), answer in zip(images.items(), _outlines(list(images.values()), predictor), strict=True):
        kept = rule.kept(answer, empty)
        truth = masks.get(name)
        title = "without pneumothorax" if truth is None or not truth.any() else "with pneumothorax"
        note = f"probability {answer.probability:.2f}, outline {100 * kept.mean():.1f} %"
        if truth is not None and truth.any():
            panels.append(Panel(image, title=f"{title}:\nthe reader", outline=truth))
            note += f", Dice {dice(truth, kept):.2f}"
        twin = ", stored inverted" if name == "monochrome1_twin" else ""
        panels.append(Panel(image, title=f"{title}{twin}:\nthe model", note=note, outline=kept))
    return panels


def _outlines(images: list[np.ndarray], predictor: Predictor) -> list[Outline]:
    return [
        answer
        for start in range(0, len(images), _BATCH)
        for answer in outlines(images[start : start + _BATCH], predictor)
    ]


app = typer.Typer(add_completion=False)


@app.command()
def main(
    task: Annotated[str, typer.Argument(help=", ".join(COUNTS))],
    data: Annotated[Path, typer.Option(help="Folder of real images.")],
    out: Annotated[Path, typer.Option(help="Folder for figures and pictures.")],
    model: Annotated[str | None, typer.Option(help="Id of a model package, or its folder.")] = None,
    count: Annotated[int | None, typer.Option(min=2, help="Volumes or pictures to draw.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
) -> None:
    """Draw findings into real images, ask a model, and write figures and pictures."""
    import torch

    from AcuteFindingsLib.detectors.load import load_detector
    from AcuteFindingsLib.models.find import default_package, find_package
    from AcuteFindingsLib.models.load import load_predictor

    if task not in COUNTS:
        raise typer.BadParameter(f"TASK {task}: choose one of {', '.join(COUNTS)}.")
    torch.set_num_threads(threads)
    number = count or COUNTS[task]
    out.mkdir(parents=True, exist_ok=True)
    if task == "pe":
        detector = load_detector("pe", model=model, device="cpu").detector
        figures, panels = measure_drawn_clots(detector.run, data, count=number)
    else:
        package = find_package(model, task="pneumothorax") if model else default_package("pneumothorax")
        predictor = load_predictor(package, device="cpu")
        drawn = draw_many(read_radiographs(data, held_out=True), count=number, seed=SEED)
        figures, panels = measure_pneumothorax(predictor, drawn, command=lesions_command(task, number))
        row = real_row(data, predictor)
        if row:
            print(write_row(row, out / "pneumothorax-real.png"))
    print(write_sheet(panels[:24], out / f"{task}-drawn.png"))
    with replace_when_written(out / f"{task}-drawn.json") as partial:
        partial.write_text(json.dumps([one.model_dump() for one in figures], indent=2) + "\n", encoding="utf-8")
    for one in figures:
        print(f"{one.metric}: {one.value:.3f} ({one.low:.3f} to {one.high:.3f}), n = {one.count}, {one.data}")


if __name__ == "__main__":
    app()
