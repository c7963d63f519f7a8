"""Networks as ONNX graphs without weights: written with torch, filled with the tensors of a package without it."""
