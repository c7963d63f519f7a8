"""Findings, and whole folders of results, of studies that have no images."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from AcuteFindingsLib.detectors.finding import Finding, Likeness, ModelIdentity, SliceResult, Verdict

SHA256 = "ab" * 32


def make_finding(probability: float = 0.8, *, threshold: float = 0.5, **changes: object) -> Finding:
    """A finding of one picture, by a model that does not exist."""
    finding = Finding(
        detector="hemorrhage",
        model=ModelIdentity("some-model", "1.0", SHA256, "studies of elsewhere"),
        verdict=Verdict(
            "positive" if probability >= threshold else "negative", probability, threshold, "the rule", "It is so."
        ),
        slices=tuple(SliceResult(n, (0.0, 0.0, 5.0 * n), f"1.2.{n}", {"any": probability}) for n in range(2)),
        main_label="any",
        slice_threshold=threshold,
        ijk_to_ras=np.eye(4),
        display_window=(40.0, 80.0),
        series_instance_uid="1.2.3",
        likeness=Likeness("like", 0.5, features={"noise": 10 * probability}),
    )
    return replace(finding, **changes)


def scores(count: int, *, prevalence: float, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities ``(count,)``: two normal distributions of the logit, so many deviations apart."""
    random = np.random.default_rng(seed)
    present = random.random(count) < prevalence
    return present, 1 / (1 + np.exp(-(random.normal(size=count) + apart * (present - 0.5))))


def write_results(folder: Path, present: np.ndarray, probabilities: np.ndarray, **changes: object) -> Path:
    """Write results of many studies below `folder`/results, and their truth beside it; return the truth."""
    for number, probability in enumerate(probabilities):
        finding = make_finding(float(probability), series_instance_uid=f"1.2.3.{number}", **changes)
        finding.save(folder / "results" / f"study-{number:03d}")
    truth = folder / "truth.csv"
    with truth.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("study", "hemorrhage"))
        writer.writerows((f"study-{number:03d}", int(one)) for number, one in enumerate(present))
    return truth
