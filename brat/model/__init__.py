"""`Scan` in, `Reading` out: preprocessing, the classifier, its calibration, and where an answer comes
from."""
