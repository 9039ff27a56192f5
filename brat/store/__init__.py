"""Kept cases, the verdicts on them, and how far these agree with the model."""
