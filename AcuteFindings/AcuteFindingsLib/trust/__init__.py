"""How far a verdict can be trusted: the site's calibration, likeness to the model's own images, reasons."""
