"""A trained run in another laboratory: check unlabelled images, pick cells to label, adapt."""
