"""Shipped models: packing."""
