"""Data: sources on disk, decoding, data sets in memory, splits, download."""
