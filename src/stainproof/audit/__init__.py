"""Find duplicates, doctored images, outliers and label issues in a data set, and remove them."""
