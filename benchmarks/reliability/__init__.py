"""Reliability: hostile files, killed commands."""
