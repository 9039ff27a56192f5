"""How fast BraTum Scans is, each figure beside another one taken in the same run: `python -m benchmarks`."""
