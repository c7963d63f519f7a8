"""Pulmonary embolism on CT angiography by a slab model of somebody's own: the series decides, as for heads."""

from AcuteFindingsLib.detectors.hemorrhage.slab_detector import SlabDetector


class PESlabDetector(SlabDetector):
    """Slabs → probabilities of slices and study → verdict and heat map; no side is named and no volume measured."""

    name = "pe"
    looked_for = "pulmonary embolism"
