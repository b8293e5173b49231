"""Inference: classifier, engines, test-time augmentation, ensembles, export, prediction tables."""
