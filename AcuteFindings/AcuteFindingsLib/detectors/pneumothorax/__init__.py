"""Pneumothorax on frontal chest radiographs."""
