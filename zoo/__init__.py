"""The catalogue of models: what there is, where from, what it measures, and how to get it."""

EMBEDDED = "unifmir-small-sim"
"""Id of the model that ships with the package."""
EMBEDDED_NOTE = (
    f"model: {EMBEDDED}, small and trained on simulated images, for trying: for real work name a "
    "checkpoint or a model of `unifmir zoo list`"
)
"""Text for commands that take the model that ships with the package, because none was named."""
