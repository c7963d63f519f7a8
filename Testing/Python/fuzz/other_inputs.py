"""Files of other kinds."""

SHARES: dict = {}
