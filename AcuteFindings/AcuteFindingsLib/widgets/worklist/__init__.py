"""The worklist in the home module: many studies read one after the other, the most urgent on top."""
