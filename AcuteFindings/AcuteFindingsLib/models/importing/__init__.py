"""Models from where people have them, into model packages: Keras, PyTorch state dicts, MONAI bundles, programs."""
