"""Benchmarks: every published figure, each with the command that measures it."""
