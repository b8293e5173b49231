"""Benchmarks of corruptions."""
