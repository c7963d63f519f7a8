"""Findings drawn into real images that have none, with their outlines: what few real positives cannot teach."""
