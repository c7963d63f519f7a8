"""A finding in Slicer: MRML nodes, the scene file, and pictures of the views."""
