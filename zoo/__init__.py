"""The catalogue of models: what there is, where from, what it measures, and how to get it."""
