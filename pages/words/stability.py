"""Words of the part of Review that changes a scan a little and reads it again."""

ASK = "Does a small change change the answer?"
ASK_HELP = "Reads the scan again after CLAHE, and a little lighter, darker, turned and cut."
BUSY = "Changing the scan a little, and reading it again …"
FIGURE = "Probability of each class after each change."
CAPTION = "Probability of each class when the scan as uploaded is changed a little."
RING = "A ring marks another answer."
