"""The network, its loss, and fitting it to an index."""
