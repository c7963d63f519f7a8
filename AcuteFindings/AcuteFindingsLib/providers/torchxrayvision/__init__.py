"""TorchXRayVision: chest findings and lungs on radiographs."""
