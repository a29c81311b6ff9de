"""The catalogue of models: what there is, where from, what it measures, and how to get it."""

EMBEDDED = "unifmir-small-sim"
"""Id of the model that ships with the package."""
