"""Bytes, folders and archives in, `Scan` or `Series` out: the one door for untrusted input."""
