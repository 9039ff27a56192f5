"""Damaged files without end: `python -m tests.fuzz --minutes N`."""
