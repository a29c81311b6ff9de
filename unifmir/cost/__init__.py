"""Costs of a network: parameters, multiply-accumulates, bit operations, bytes moved.

`dispatcher.count_dispatched` answers for a module and an input shape. The paper's cost tables,
counted again in the conventions they were made with, are in `unifmir.cost.paper`. That other ways
of counting give the same number is shown by `benchmarks/studies/count_macs.py`.
"""
