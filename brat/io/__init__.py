"""Bytes, folders and archives in, `Scan` or `Series` out: the one door for untrusted input."""

import logging
import warnings

# pydicom's warnings, and its log, repeat values of a header, such as a patient's name. Filters that are set
# while a file is decoded may be lost among threads: this one is there before.
warnings.filterwarnings("ignore", module=r"pydicom\b")
logging.getLogger("pydicom").propagate = False
