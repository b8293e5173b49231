"""The corruption benchmark: for evaluation only, training and augmentation never import it."""
