"""Collections of slices with labels: indexes, their builders, near-duplicates, audits."""
