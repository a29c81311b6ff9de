"""What this machine has, what is missing, and which way to run a model is fastest."""
