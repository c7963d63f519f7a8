"""Chest radiographs of no patient."""
