"""Intracranial hemorrhage on non-contrast head CT, after RADnet (docs/sources.md 4)."""

from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from AcuteFindingsLib.counting import counted
from AcuteFindingsLib.detectors.detector import analysis_sources, identity_of, model_notices, slice_results
from AcuteFindingsLib.detectors.finding import Code, Finding, Mask, Measurement, Verdict
from AcuteFindingsLib.detectors.hemorrhage.kind import KIND
from AcuteFindingsLib.detectors.hemorrhage.volumes import blood_volumes
from AcuteFindingsLib.detectors.measure import Density, densities
from AcuteFindingsLib.detectors.rules import consecutive_runs, consecutive_score, run_extent_mm
from AcuteFindingsLib.models.predictor import Predictor
from AcuteFindingsLib.preprocessing.brain import brain_mask
from AcuteFindingsLib.preprocessing.head_slice import neutral_head
from AcuteFindingsLib.preprocessing.orient import Axial, to_axial
from AcuteFindingsLib.preprocessing.resample import fit_in_plane, unfit_in_plane
from AcuteFindingsLib.preprocessing.windows import apply_window
from AcuteFindingsLib.progress import Cancelled, Progress, batches, never_cancelled, no_progress
from AcuteFindingsLib.study.checks import check_study
from AcuteFindingsLib.study.notice import Notice
from AcuteFindingsLib.study.study import Study

CATEGORY = Code("SCT", "49755003", "Morphologically Altered Structure")
HEMORRHAGE = Code("SCT", "50960005", "Hemorrhage")
BRAIN = Code("SCT", "12738006", "Brain")
HU = "[hnsf'U]"

DENSEST_BLOOD_HU = 100.0
"""Clotted blood reaches 80 to 100 HU, as its hematocrit has a limit; calcification, bone and metal lie above."""


class HemorrhageSettings(BaseModel):
    """Preprocessing numbers of a hemorrhage model; the defaults are the published ones (docs/sources.md 4).

    `head_size` is the share of `size` that a head fills where the picture does not say how large a pixel is: an adult
    head is about 190 mm long in a field of 250 mm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_level: float = 40.0
    window_width: float = 80.0
    pixel_mm: float = Field(default=1.0, gt=0)
    size: int = Field(default=250, gt=0)
    head_size: float = Field(default=0.76, gt=0, le=1)
    batch: int = Field(default=16, gt=0)


class HemorrhageRule(BaseModel):
    """Three or more consecutive positive slices make a positive study (docs/sources.md 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_consecutive: int = Field(default=3, ge=1)
    minimum_mask_mm3: float = Field(default=20.0, ge=0)


@dataclass(frozen=True)
class HeadImages:
    """What the network is shown: one image for each source slice, and the way back to the study's grid.

    Attributes
    ----------
    images
        ``(n, size, size)`` float32 in 0..1, from inferior to superior, whichever way the series runs.
    planes
        Index along the axial array of each image, ascending.
    positions_mm
        Where each source slice itself lies along the axial array's z, ascending.
    centers
        Pixel ``(y, x)`` of the axial array at the middle of each image: the middle of the source slice, which wanders
        from slice to slice where a gantry tilt was undone.
    order
        Which of `analysis_sources` each image is.
    axial
        The study's array in axial order.
    """

    images: np.ndarray
    planes: np.ndarray
    positions_mm: np.ndarray
    centers: np.ndarray
    order: np.ndarray
    axial: Axial

    def by_source(self, values: np.ndarray) -> np.ndarray:
        """Put ``(n, ...)`` values of the images in the order of the sources."""
        out = np.empty_like(values)
        out[self.order] = values
        return out


def head_images(study: Study, settings: HemorrhageSettings) -> HeadImages:
    """Window the source slices to the brain and fit them to the network's field; z is left as it is."""
    axial = to_axial(study)
    sources = analysis_sources(study, axial)
    to_index = np.linalg.inv(axial.ijk_to_ras)
    places = np.array([(to_index @ (*source.position_ras, 1.0))[:3] for source in sources])
    order = np.argsort(places[:, 2], kind="stable")
    centers, z = places[order, 1::-1], places[order, 2]
    planes = np.clip(np.rint(z), 0, len(axial.array) - 1).astype(int)
    if study.intensity == "windowed":
        images = np.stack([_head_in_field(axial.array[plane], settings) for plane in planes])
    else:
        images = np.stack(
            [_field(axial, plane, center, settings) for plane, center in zip(planes, centers, strict=True)]
        )
    return HeadImages(images, planes, z * axial.spacing[0], centers, order, axial)


def _field(axial: Axial, plane: int, center: np.ndarray, settings: HemorrhageSettings) -> np.ndarray:
    windowed = apply_window(axial.array[plane][None], level=settings.window_level, width=settings.window_width)
    return fit_in_plane(
        windowed,
        axial.spacing[1:],
        target_spacing=settings.pixel_mm,
        size=settings.size,
        fill=0.0,
        center_yx=(center[0], center[1]),
    )[0]


def _head_in_field(image: np.ndarray, settings: HemorrhageSettings) -> np.ndarray:
    head = neutral_head(image, round(settings.size * settings.head_size))
    before = (settings.size - len(head)) // 2
    after = settings.size - len(head) - before
    return np.pad(head, ((before, after), (before, after))).astype(np.float32, copy=False)


class HemorrhageDetector:
    """Slices → probabilities and attention masks → the three-consecutive-slices rule → volume."""

    name = "hemorrhage"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.settings = HemorrhageSettings.model_validate(predictor.card.preprocessing)
        self.rule = HemorrhageRule.model_validate(predictor.card.rule)
        self.labels = tuple(label.name for label in predictor.card.labels)
        self.reported = predictor.card.measured_labels()
        self.slice_threshold = predictor.card.threshold("slice", self.labels[0])
        self.mask_threshold = predictor.card.threshold("mask", self.labels[0])

    def check(self, study: Study) -> tuple[Notice, ...]:
        """Say whether the study is a non-contrast head CT that the model can read."""
        return check_study(study, KIND.requirements)

    def run(self, study: Study, *, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled) -> Finding:
        """Detect; see `detectors.detector.Detector`."""
        clock = perf_counter()
        progress("Preparing the slices", 0.0)
        prepared = head_images(study, self.settings)
        timings = {"preprocess": perf_counter() - clock}

        clock = perf_counter()
        probabilities, soft = self._predict(prepared.images, progress, cancelled)
        timings["network"] = perf_counter() - clock

        clock = perf_counter()
        progress("Measuring", 0.85)
        mask = self._mask(study, prepared, probabilities[:, 0], soft)
        positions = prepared.positions_mm
        verdict = self._verdict(study, probabilities[:, 0], positions)
        by_source = prepared.by_source(probabilities)
        reported = [number for number, label in enumerate(self.labels) if label in self.reported]
        runs = consecutive_runs(by_source[:, 0] >= self.slice_threshold)
        outlines = (
            [] if study.intensity == "windowed" else densities(prepared.axial.array, mask, prepared.axial.spacing)
        )
        measurements = self._measurements(study, prepared.axial.spacing, mask, probabilities, outlines)
        on_study = prepared.axial.restore(mask)
        timings["postprocess"] = perf_counter() - clock
        progress("Done", 1.0)
        return Finding(
            detector=self.name,
            model=identity_of(self.predictor),
            verdict=verdict,
            slices=slice_results(
                analysis_sources(study, prepared.axial),
                tuple(self.labels[number] for number in reported),
                by_source[:, reported],
            ),
            main_label=self.labels[0],
            slice_threshold=self.slice_threshold,
            ijk_to_ras=study.ijk_to_ras,
            display_window=(0.5, 1.0)
            if study.intensity == "windowed"
            else (self.settings.window_level, self.settings.window_width),
            positive_runs=tuple(runs),
            masks=(Mask("Hemorrhage", on_study, CATEGORY, HEMORRHAGE, BRAIN, (0.85, 0.15, 0.15)),),
            measurements=tuple(measurements),
            warnings=(
                *model_notices(self.predictor),
                *self._notices(len(probabilities)),
                *density_notices(outlines),
            ),
            timings=timings,
            series_instance_uid=study.dicom.series_instance_uid,
            phantom=study.is_phantom,
        )

    def _predict(self, images: np.ndarray, progress: Progress, cancelled: Cancelled) -> tuple[np.ndarray, np.ndarray]:
        features, masks = [], []
        for part in batches(
            len(images),
            self.settings.batch,
            text="Reading slices",
            progress=progress,
            cancelled=cancelled,
            span=(0.1, 0.85),
        ):
            outputs = self.predictor.predict(images[part, None], part="features")
            features.append(outputs["features"])
            masks.append(expit(outputs["mask"][:, 0]))
        head = self.predictor.predict(np.concatenate(features)[None], part="head")
        return expit(head["slice"][0]), np.concatenate(masks)

    def _mask(self, study: Study, prepared: HeadImages, probability: np.ndarray, soft: np.ndarray) -> np.ndarray:
        """Return the bleed as ``(z, y, x)`` uint8 on the axial grid, planes between source slices interpolated."""
        axial = prepared.axial
        out: np.ndarray = np.zeros(axial.array.shape, np.uint8)
        _, ny, nx = out.shape
        positive = probability >= self.slice_threshold
        if not positive.any() or study.intensity == "windowed":
            return out
        inside = brain_mask(axial.array, axial.spacing)
        planes = prepared.planes

        @lru_cache(maxsize=2)
        def on_grid(number: int) -> np.ndarray:
            return unfit_in_plane(
                soft[number][None] * positive[number],
                axial.spacing[1:],
                (ny, nx),
                target_spacing=self.settings.pixel_mm,
                size=self.settings.size,
                order=1,
                center_yx=tuple(prepared.centers[number]),
            )[0]

        for z in np.flatnonzero(np.interp(np.arange(len(out)), planes, positive.astype(float)) > 0):
            after = int(np.clip(np.searchsorted(planes, z), 0, len(planes) - 1))
            before = max(after - 1, 0) if planes[after] > z else after
            gap = planes[after] - planes[before]
            weight = (z - planes[before]) / gap if gap else 0.0
            shown = on_grid(after) if before == after else (1 - weight) * on_grid(before) + weight * on_grid(after)
            out[z] = (shown >= self.mask_threshold) & inside[z]
        return remove_small(out, axial.spacing, self.rule.minimum_mask_mm3)

    def _verdict(self, study: Study, probability: np.ndarray, positions: np.ndarray) -> Verdict:
        needed = min(self.rule.minimum_consecutive, len(probability))
        thickness = step_mm(study, positions)
        score = consecutive_score(probability, minimum=self.rule.minimum_consecutive)
        flags = probability >= self.slice_threshold
        runs = consecutive_runs(flags)
        span = f"{counted(needed, 'slice')} {'spans' if needed == 1 else 'span'} {needed * thickness:.1f} mm"
        rule = (
            f"Positive where {self.rule.minimum_consecutive} or more consecutive slices reach "
            f"{self.slice_threshold:.2f} (in this series {span})."
        )
        if not runs:
            text = f"No slice reaches the operating point; the highest is {probability.max():.2f}."
            return Verdict("negative", score, self.slice_threshold, rule, text)
        longest = max(runs, key=lambda run: run[1] - run[0])
        count = longest[1] - longest[0] + 1
        extent = run_extent_mm(longest, positions, thickness)
        found = f"The longest run of positive slices is {count} ({extent:.1f} mm)"
        if count >= needed:
            above = int(flags.sum())
            text = f"{found}; {counted(above, 'slice')} {'is' if above == 1 else 'are'} positive."
            return Verdict("positive", score, self.slice_threshold, rule, text)
        text = f"{found}, fewer than the rule asks for: look at these slices."
        return Verdict("indeterminate", score, self.slice_threshold, rule, text)

    def _measurements(
        self,
        study: Study,
        spacing: tuple[float, float, float],
        mask: np.ndarray,
        probabilities: np.ndarray,
        outlines: list[Density],
    ) -> list[Measurement]:
        items: list[Measurement] = []
        if study.intensity != "windowed" and study.pixel_spacing_known:
            items += blood_volumes(mask, spacing)
        for number, outline in enumerate(outlines, start=1):
            if study.pixel_spacing_known:
                items.append(Measurement(f"Volume of outline {number}", outline.volume_ml, "mL"))
            items += [
                Measurement(f"Mean density of outline {number}", outline.mean_hu, HU),
                Measurement(f"95th percentile of density of outline {number}", outline.high_hu, HU),
            ]
        items += [
            Measurement(f"Highest slice probability: {label.meaning}", float(probabilities[:, number].max()), "1")
            for number, label in enumerate(self.predictor.card.labels)
            if label.name in self.reported
        ]
        return items

    def _notices(self, count: int) -> tuple[Notice, ...]:
        if count >= self.rule.minimum_consecutive:
            return ()
        text = (
            f"The series has {count} slice{'s' if count > 1 else ''}; the rule of "
            f"{self.rule.minimum_consecutive} consecutive slices is applied to all there are."
        )
        return (Notice("too-few-slices-for-rule", "warn", text),)


def density_notices(outlines: list[Density]) -> tuple[Notice, ...]:
    """Warn of outlines whose 95th percentile is denser than blood."""
    dense = [number for number, item in enumerate(outlines, start=1) if item.high_hu > DENSEST_BLOOD_HU]
    if not dense:
        return ()
    names = ", ".join(map(str, dense))
    highest = max(outlines[number - 1].high_hu for number in dense)
    text = (
        f"Outline{'s' if len(dense) > 1 else ''} {names} reach{'' if len(dense) > 1 else 'es'} {highest:.0f} HU (95th "
        f"percentile); blood stays below {DENSEST_BLOOD_HU:.0f} HU. Look for calcification, bone, contrast agent or "
        "metal."
    )
    return (Notice("denser-than-blood", "warn", text),)


def step_mm(study: Study, positions: np.ndarray) -> float:
    """Return the usual distance between source slices in mm, or their thickness where there is one slice only."""
    if len(positions) > 1:
        return float(np.median(np.diff(positions)))
    stated = study.sources[0].thickness_mm if study.sources else None
    return float(stated if stated is not None else study.spacing[0])


def remove_small(mask: np.ndarray, spacing: tuple[float, float, float], minimum_mm3: float) -> np.ndarray:
    """Drop connected parts of a ``(z, y, x)`` mask that are smaller than `minimum_mm3`."""
    from scipy import ndimage

    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return mask
    keep = np.bincount(components.ravel()) * np.prod(spacing) >= minimum_mm3
    keep[0] = False
    return keep[components].astype(np.uint8)
