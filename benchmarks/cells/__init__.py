"""Benchmarks of finding cells in fields."""
