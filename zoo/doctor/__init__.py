"""Report on a machine: what it has, what is missing, and which way to run a model is fastest."""
