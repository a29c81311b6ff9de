"""Plans, measurements and reports of what models cost, with the machine they came from."""
