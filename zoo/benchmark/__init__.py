"""What models cost: latency, memory and energy, beside counts and quality.

`measure.benchmark` runs a plan and gives `results.Results`; `tables`, `plots` and `compare` read
them.
"""
