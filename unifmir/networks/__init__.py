"""The UniFMIR networks: plain, self-contained PyTorch modules that import nothing but torch.

They are export-safe by construction: no Python integers taken from shapes, masks and padding
computed in the graph, no mutation in `forward`.
"""
