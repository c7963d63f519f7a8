"""Static quantization to int8: how fast, and what becomes of the answers."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from AcuteFindingsLib.detectors.phantoms import make_phantom
from AcuteFindingsLib.detectors.registry import find_kind
from AcuteFindingsLib.errors import AcuteFindingsError
from AcuteFindingsLib.evaluation.intervals import auc_interval
from AcuteFindingsLib.evaluation.masks import dice
from AcuteFindingsLib.models.load import load_predictor
from AcuteFindingsLib.models.metadata import Interval
from AcuteFindingsLib.models.package import read_package
from AcuteFindingsLib.models.runtime.graph_predictor import GraphPredictor
from AcuteFindingsLib.models.runtime.session import open_session
from AcuteFindingsLib.phantoms.as_study import phantom_study
from AcuteFindingsLib.study.reader import read_study
from networks import MODELS, filled_model
from tables import as_markdown

# What holds nearly all the work of a detector, and how many phantoms it is judged on: those of CT take seconds each.
TRIED = (
    ("pe", "pe-sequence-small", "encode", 20, "cta-pulmonary-artery"),
    ("hemorrhage", "hemorrhage-radnet-small", "features", 40, "head-ct-dicom"),
    ("pneumothorax", "pneumothorax-unet-small", "", 80, "chest-xray-dicom"),
)
COMMAND = "python Testing/Benchmarks/runtimes.py --only int8"
# Seeds that no shipped model was fitted to, tuned on or measured on.
_CALIBRATION_SEED, _HELD_OUT_SEED = 7_000_001, 7_100_001
_CALIBRATION_PHANTOMS, _IMAGES_OF_EACH = 4, 12
_FLOAT, _INT8 = "float32", "int8"


@dataclass
class Quantized:
    """What came out for one network: figures by form, seconds of a batch, the largest change of a probability."""

    network: str
    figures: dict[str, list[Interval]]
    seconds: dict[str, list[float]]
    largest_change: float
    mask_dice: float | None

    @property
    def kept(self) -> bool:
        """Whether every figure in int8 lies within the interval that float32 has."""
        pairs = zip(self.figures[_FLOAT], self.figures[_INT8], strict=True)
        return all(one.low <= other.value <= one.high for one, other in pairs)


def measure_quantized(folder: Path, data: Path) -> tuple[Any, list[str], list[str]]:
    """Quantize the networks of `TRIED`; returns data, paragraphs and goals."""
    found = [_measure(*one, folder=folder / one[0], data=data) for one in TRIED]
    rows = [["network", "figure", _FLOAT, _INT8, f"{_FLOAT} / {_INT8}, time", "largest change of a probability"]]
    for one in found:
        speed = median(one.seconds[_FLOAT]) / median(one.seconds[_INT8])
        for number, (before, after) in enumerate(zip(one.figures[_FLOAT], one.figures[_INT8], strict=True)):
            last = [f"{speed:.2f}", f"{one.largest_change:.2g}"] if not number else ["", ""]
            first = [one.network if not number else "", f"{before.metric}, n {before.count}"]
            rows.append([*first, _told(before), _told(after), *last])
    masks = "; ".join(f"{one.network} {one.mask_dice:.3f}" for one in found if one.mask_dice is not None)
    inside = [one.network for one in found if one.kept]
    said = (
        "Convolutions and matrix products in int8 by ONNX Runtime's static quantization (a scale for each channel of "
        f"the weights, QDQ), calibrated on {_CALIBRATION_PHANTOMS} phantoms of each kind and, where it is there, a "
        "real study; measured on further phantoms, half of them positive. 95 % intervals by bootstrap."
    )
    judged = (
        f"Within the interval of {_FLOAT}: {', '.join(inside) or 'none'}. Dice of the masks in {_INT8} with those in "
        f"{_FLOAT}: {masks}. Not shipped: answers may not depend on the machine by more than 0.001, and these change "
        "by the last column."
    )
    data = [
        {
            **asdict(one),
            "figures": {form: [figure.model_dump() for figure in given] for form, given in one.figures.items()},
        }
        for one in found
    ]
    return data, [said, as_markdown(rows), judged], []


def _measure(detector: str, model: str, part: str, count: int, real: str, *, folder: Path, data: Path) -> Quantized:
    package = read_package(MODELS / model)
    assert package.card.graphs is not None
    plain = load_predictor(package, device="cpu")
    assert isinstance(plain, GraphPredictor)
    kind = find_kind(detector)
    make_scorer = kind.task.load_scorer()
    scorer = make_scorer(plain)
    if scorer.needs:
        make_scorer = partial(
            make_scorer, lungs=load_predictor(read_package(MODELS / "lungs-unet-small"), device="cpu")
        )
        scorer = make_scorer(plain)
    file = package.card.graphs.parts[part].file
    calibration = np.concatenate(list(_calibration(scorer, kind, data / real)))
    bytes_of = _quantize(filled_model(package, part, folder), calibration).read_bytes()

    def open_graph(name: str) -> Any:
        return open_session(bytes_of, device="cpu", name=name) if name == file else plain.open(name)

    small = GraphPredictor(open_graph, card=package.card, version=package.version, sha256=package.sha256, device="cpu")
    scorers = {_FLOAT: scorer, _INT8: make_scorer(small)}
    truth: list[bool] = []
    slices_true: list[np.ndarray] = []
    answers: dict[str, list[Any]] = {name: [] for name in scorers}
    for number in range(count):
        phantom = make_phantom(
            kind.phantoms.generator, _HELD_OUT_SEED + number, positive=number % 2 == 0, **kind.phantoms.options
        )
        prepared = scorer.prepare(phantom_study(phantom))
        truth.append(phantom.positive)
        slices_true.append(np.asarray(next(iter(phantom.slice_labels.values()))))
        for name, one in scorers.items():
            answer = one.infer(prepared)
            values = prepared.at_sources(answer.images) if answer.study else answer.images
            answers[name].append((answer, values[:, 0]))
    figures = {name: _figures(given, truth, slices_true) for name, given in answers.items()}
    changes = [
        float(np.abs(one[1] - other[1]).max()) for one, other in zip(answers[_FLOAT], answers[_INT8], strict=True)
    ]
    agreement = [
        dice(one[0].soft >= 0.5, other[0].soft >= 0.5)
        for one, other in zip(answers[_FLOAT], answers[_INT8], strict=True)
        if one[0].soft is not None and (one[0].soft >= 0.5).any()
    ]
    batch = calibration[: 2 if part == "" else 4]
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(12):
        for name, predictor in ((_FLOAT, plain), (_INT8, small)):
            clock = perf_counter()
            predictor.predict(batch, part=part)
            seconds[name].append(perf_counter() - clock)
    mean = float(np.mean(agreement)) if agreement else None
    return Quantized(f"{model} {part}".strip(), figures, seconds, max(changes), mean)


def _figures(answers: Sequence[Any], truth: Sequence[bool], slices: Sequence[np.ndarray]) -> list[Interval]:
    data = "held-out phantoms"
    scores = [next(iter(answer.study.values())) if answer.study else float(values[0]) for answer, values in answers]
    found = [auc_interval(truth, scores, metric="AUC, study", data=data, command=COMMAND)]
    if len(slices[0]) > 1:
        studies = np.repeat(np.arange(len(slices)), [len(one) for one in slices])
        values = np.concatenate([values for _, values in answers])
        found.append(
            auc_interval(
                np.concatenate(slices), values, metric="AUC, slice", data=data, command=COMMAND, patients=studies
            )
        )
    return found


def _calibration(scorer: Any, kind: Any, real: Path) -> Iterator[np.ndarray]:
    for number in range(_CALIBRATION_PHANTOMS):
        seed = _CALIBRATION_SEED + number
        phantom = make_phantom(kind.phantoms.generator, seed, positive=number % 2 == 0, **kind.phantoms.options)
        yield _some(scorer.prepare(phantom_study(phantom)))
    files = sorted(real.iterdir()) if real.is_dir() else []
    for place in files[:8] if kind.id == "pneumothorax" else ([real] if files else []):
        try:
            yield _some(scorer.prepare(read_study(place, requirements=kind.requirements)))
        except AcuteFindingsError:
            continue  # some of the folder are there because they are refused


def _some(prepared: Any) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(prepared) - 1, _IMAGES_OF_EACH).astype(int))
    return np.concatenate([prepared[z : z + 1] for z in chosen]).astype(np.float32)


def _quantize(model: Path, images: np.ndarray) -> Path:
    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {"input": image[None]}

    ready, target = model.with_name("ready.onnx"), model.with_name("int8.onnx")
    quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return target


def _told(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
