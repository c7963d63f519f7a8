"""The home module's panel."""
