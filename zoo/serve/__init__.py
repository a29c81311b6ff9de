"""The server of `unifmir serve`: restoring over HTTP, each job in a process of its own."""
