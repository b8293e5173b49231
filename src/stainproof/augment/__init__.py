"""Augmentation of uint8 training images: seeded operations, overlays, mixing, oversampling."""
