"""Augmentation: seeded, label-preserving operations on uint8 images, overlays and mixing."""
