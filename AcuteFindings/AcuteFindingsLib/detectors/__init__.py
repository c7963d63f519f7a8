"""The detectors: study and model in, finding out."""
