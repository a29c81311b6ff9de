"""What is measured, against what, and the results with the machine they came from."""
