"""Delivery: trained networks as files that other programs run."""
