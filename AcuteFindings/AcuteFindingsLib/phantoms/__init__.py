"""Procedural studies with truth, so that demo, tests and training need no patient data."""
