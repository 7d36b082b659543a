"""Kernels over tokens that several rooms share: comparing, ranking, choosing, merging. Pure and batched."""
