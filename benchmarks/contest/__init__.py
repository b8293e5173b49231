"""Contest submissions."""
