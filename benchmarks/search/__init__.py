"""The search for networks and settings."""
