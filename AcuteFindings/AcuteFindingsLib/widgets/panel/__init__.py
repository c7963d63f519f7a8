"""The panel of a detector and its parts."""
