"""The augmentation engine and its recipes."""
