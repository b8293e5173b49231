"""Trainings: techniques, networks, step time, accuracy over time."""
