"""Synthetic images: phantom blood cells, and pictures to overlay on cells."""
