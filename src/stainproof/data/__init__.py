"""Images on disk to typed sets of arrays: sources, phantoms, audit, splits."""
