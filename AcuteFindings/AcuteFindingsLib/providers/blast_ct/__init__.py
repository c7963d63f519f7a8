"""BLAST-CT: kinds of bleeding on head CT after an injury."""
