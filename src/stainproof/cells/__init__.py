"""Cells in photographs of a smear: find them, measure the scale by red cells, cut them out."""
