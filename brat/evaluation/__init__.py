"""What a model is measured by: metrics, protocols, cross-validation, and what is reported."""
