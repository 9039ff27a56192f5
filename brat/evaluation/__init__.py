"""Measuring a model: metrics, protocols, cross-validation, and the results that ship with the weights."""
