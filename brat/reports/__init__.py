"""Readings as files: PDF, DICOM objects, tables."""
