"""Model packages: read, verify, find, load."""
