"""CUDA sources; what they need of a device's own instructions is in common.cuh."""
