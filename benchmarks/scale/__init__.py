"""Benchmarks of work on a cluster."""
