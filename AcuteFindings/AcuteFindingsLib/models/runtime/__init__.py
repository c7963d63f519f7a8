"""What runs a model: ONNX Runtime, PyTorch and TorchScript, each behind the `Predictor` protocol."""
