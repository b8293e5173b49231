"""Benchmarks of what a killed command leaves."""
