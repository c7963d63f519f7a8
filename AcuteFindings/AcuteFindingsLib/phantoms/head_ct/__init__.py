"""Head CT of no patient."""
