"""Words of the buttons that make a reading a file."""

PDF_HELP = "One page: scan, map, probabilities, verdict, note. The file is not named."
MAP_HELP = "A secondary capture that refers to the scan."
SR_HELP = "A structured report that refers to the scan."
NO_REFERENCE = "No report as DICOM: this file does not say which instance it is, to refer to."
PRIVATE = "No structured report: this file is an object of its maker's own, which none can refer to."
UNNAMED = "The DICOM files refer to the scan by its UIDs, and do not name the patient."
