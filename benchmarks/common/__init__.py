"""What benchmarks share: the results page, rows of trainings, environments."""
