"""Synthetic cells."""
