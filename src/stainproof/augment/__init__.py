"""Changes to training images that a label survives: seeded, uint8 in, uint8 out."""
