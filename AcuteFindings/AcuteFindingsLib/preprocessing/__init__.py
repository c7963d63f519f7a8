"""From a study's voxels to what a network is fed: windows, axes, resampling, and masks of lungs, head and brain."""
