"""Out of the archive and back into it: DICOMweb and DIMSE, the choice of series, and a router with its
queue."""
