"""Plan of a benchmark: what is compared, on which images, in which groups."""
