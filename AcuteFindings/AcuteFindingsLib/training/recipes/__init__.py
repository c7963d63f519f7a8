"""Recipes: one YAML file a published experiment, read, checked and changed from the command line."""
