"""BraTum Scans: a four-class reading of brain MRI slices that shows where it comes from."""
