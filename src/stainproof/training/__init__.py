"""From images and settings to weights."""
