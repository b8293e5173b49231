"""Reliability: hostile files."""
