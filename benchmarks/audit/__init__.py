"""The audit: what it finds, beside other tools, and how it grows."""
