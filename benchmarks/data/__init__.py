"""Benchmarks of reading and splitting data."""
