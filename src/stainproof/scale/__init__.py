"""Work on a Ray cluster: tasks, prediction in parts, data-parallel training."""
