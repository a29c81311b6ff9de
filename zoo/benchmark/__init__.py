"""What models cost: latency, memory and energy beside counts and quality, measured to be believed.

`measure.benchmark` runs a plan and gives a `results.Results`; `tables`, `plots` and `diff` read one.
"""
