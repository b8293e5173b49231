"""Run folders: their files, their card, their history."""
