"""The four classes, how each is written for people, and the colours of pictures."""

CLASSES = ("glioma", "meningioma", "pituitary", "no_tumor")
"""The classes, in the order of every array, file and table of the project."""

CLASS_NAMES = {
    "glioma": "Glioma",
    "meningioma": "Meningioma",
    "pituitary": "Pituitary tumour",
    "no_tumor": "No tumour",
}
"""How each class is written for people."""

CLASS_COLOURS = {
    "glioma": "#D55E00",
    "meningioma": "#0072B2",
    "pituitary": "#CC79A7",
    "no_tumor": "#009E73",
}
"""Okabe and Ito's palette, which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color/)."""

OTHER_COLOURS = ("#4C7399", "#A6761D")
"""For what is of no class: slate and ochre, which colour-blind readers tell apart, too; both stand out from a
light and from a dark page by 3 to 1 and more."""

QUIET_COLOUR = "#888888"
"""For lines of reference, and what stands back."""
