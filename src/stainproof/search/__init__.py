"""Sequences of trainings: search of networks and settings, the ladder, queues of experiments."""
