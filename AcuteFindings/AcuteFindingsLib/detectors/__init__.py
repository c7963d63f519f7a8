"""The three detectors: Study and model in, Finding out."""
