"""Behaviour across commits: the same seed gives the same bytes."""
