"""Calibration: probabilities that match the share of right predictions, and abstention."""
