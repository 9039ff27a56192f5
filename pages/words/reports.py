"""Words of the buttons that make a reading a file."""

PDF_HELP = "One page: scan, map of a tumour, probabilities, verdict, note. The file is not named."
MAP_HELP = "A secondary capture that refers to the scan."
SR_HELP = "A structured report that refers to the scan."
NO_REFERENCE = (
    "No report as DICOM: this file does not say which instance it is, to refer to, or its header is far "
    "longer than that of a scan."
)
ALL_HELP = "Report, maps and the scan itself, for teaching: under new UIDs, without what names the patient."
ALL_NAMED_HELP = "Report and maps for the archive that the scan came from: same patient, same study."
PRIVATE = "No structured report: this file is an object of its maker's own, which none can refer to."
UNNAMED = (
    "The DICOM files are for teaching: they do not name the patient and have new UIDs. "
    "They do not belong into the archive that the scan came from."
)
FRAME = " This slice is one frame of its file, and goes out as a slice of its own."
