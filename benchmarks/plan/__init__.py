"""What a benchmark is asked to do: plan, workloads, subjects."""
