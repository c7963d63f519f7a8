"""Pulmonary embolism on CT pulmonary angiograms."""
