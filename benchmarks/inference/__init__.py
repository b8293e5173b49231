"""Inference: engines, whole commands, growth."""
