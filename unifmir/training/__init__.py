"""Training on simulated or given pairs: the paper's losses and optimiser, seeded and resumable."""
