"""Numbers of slab models of head CT, as ``ianpan/ct-head-hemorrhage-detection`` states them (docs/sources.md 7)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[float, Field(gt=0)]


class SlabSettings(BaseModel):
    """Preprocessing and blending of a slab model; the defaults are the published ones.

    Attributes
    ----------
    windows
        Level and width in HU of each channel of a slice: brain, subdural, bone.
    neighbors
        Slices before and after each that are channels of it too.
    size
        Pixels per side. A slice is cut or padded about its middle, pixel by pixel.
    whole_above
        A slice with a longer side is shown whole, made smaller.
    longest
        Slices that are read in context at most; of longer series so many are taken evenly.
    slice_context, study_context
        For each label of the card the share of the series' logit in that of a slice and of the study; the rest is that
        of the slice by itself, and the highest of these.
    batch
        Slabs at once: more take more memory and, on a processor, no less time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: tuple[tuple[float, Width], ...] = Field(
        default=((40.0, 80.0), (80.0, 200.0), (600.0, 2800.0)), min_length=1, max_length=8
    )
    neighbors: int = Field(default=1, ge=0, le=4)
    size: int = Field(default=512, gt=0, le=2048)
    whole_above: int = Field(default=640, gt=0)
    longest: int = Field(default=64, ge=1)
    slice_context: tuple[Share, ...] = (1.0, 0.75, 0.75, 0.75, 0.75, 0.75)
    study_context: tuple[Share, ...] = (0.5, 0.5, 0.25, 0.5, 1.0, 0.5)
    batch: int = Field(default=1, gt=0)


class SlabRule(BaseModel):
    """The series decides; a run of positive slices without it is shown for review.

    `review_run_slices`: so many slices in a row would make the study positive by the rule of docs/sources.md 4.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    review_run_slices: int = Field(default=3, ge=1)
