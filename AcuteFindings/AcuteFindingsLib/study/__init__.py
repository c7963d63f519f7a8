"""Studies: reading them from DICOM and image files, and checking that they are what was requested."""
