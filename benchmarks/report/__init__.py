"""Results of a benchmark as values and one JSON file, tables, plots, and comparisons of two."""
