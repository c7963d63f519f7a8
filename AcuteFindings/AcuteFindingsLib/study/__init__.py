"""Studies: reading them from DICOM and image files, and checking that they fit a detector."""

from AcuteFindingsLib.study.notice import Notice, Severity
from AcuteFindingsLib.study.study import DicomFacts, Orientation, SourceSlice, Study

__all__ = ["DicomFacts", "Notice", "Orientation", "Severity", "SourceSlice", "Study"]
