"""From and to image archives: DICOMweb and classic DICOM, behind one connection."""
