"""Models measured: figures with intervals, never a figure alone."""
