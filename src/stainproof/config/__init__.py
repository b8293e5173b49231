"""Settings: their schema, named presets and augmentation recipes, and how they are parsed."""
