"""What stages of recipes do, a module a stage: close-ups, mixtures of sources, lines, cross-validation, evidence."""
