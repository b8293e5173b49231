"""Benchmarks of calibration and abstention."""
