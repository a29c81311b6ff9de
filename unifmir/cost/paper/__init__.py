"""The cost tables of the paper, counted again: conventions, recipes of the rows, comparison."""
