"""Benchmarks of laboratory profiles."""
