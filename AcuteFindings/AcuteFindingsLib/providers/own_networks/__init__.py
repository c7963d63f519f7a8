"""Three-dimensional networks that a user has: nnU-Net folders and MONAI bundles, each a provider of its own."""
