"""Synthetic images: phantom blood cells, and images to overlay on cells."""
