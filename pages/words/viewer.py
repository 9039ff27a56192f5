"""Sentences of the viewer. Its HTML takes the constants by name; its script gets `IN_SCRIPT`."""

STAGE = "Picture: + and − zoom, arrows move, 0 resets, M flips the map, C divides, ? lists all keys"
DIVIDER = "Divider between the scan and its map"
SCALE = "Each class's map is scaled to its own strongest spot"
BAR = "Colour bar from 0, no evidence, to 1, strongest evidence"
FLIP = "Show or hide the map (space or M)"
COMPARE_HELP = "Scan left and map right of a divider to drag (C)"
BESIDE_HELP = "Scan as uploaded left, what is made of it right (V)"
OUTLINE_HELP = "Line round the strongest place: where the map is half of its peak or more (O)"
WINDOW_HELP = "Drag in the picture: to the sides for the width, up and down for the level (W)"
RULER_HELP = "Drag in the picture to measure; Escape takes the line away (R)"
RESET_HELP = "Show the whole picture again, as it was uploaded (0)"
CLAHE_HELP = "Raises contrast tile by tile; faint enhancement shows better, and so does noise (E; G, H)"
BRIGHTNESS_HELP = "Makes the whole scan lighter or darker, by a share of full scale (B; J, L)"
READ_HELP = "Reads the scan as it is enhanced here; both readings are then shown (T)"
SAVE_HELP = "Save the picture as it stands here, with its map where that is shown, as a PNG (X)"
THRESHOLD_HELP = "Hide the map where its value is lower (<, >)"
DOES_ZOOM = "zoom; through a stack the wheel needs Ctrl for it"
DOES_COMPARE = "compare: divider between scan and map; drag it, or <kbd>←</kbd> <kbd>→</kbd> on it"
DOES_SLICES = "through a stack, by one slice, by ten, to its ends"
ALONE_HELP = "Opens it in Review, with enhancement, verdict and report (Enter)"
AIM_HELP = "Marked in the strip by a triangle (S)"
DOES_WINDOW = "window: drag to the sides for the width, up and down for the level"
DOES_RULER = "ruler: drag to measure; <kbd>Esc</kbd> takes it away"
DOES_RESET = "whole picture again, without window, inversion and ruler"
DOES_VERDICT = "give your verdict: agree, disagree or unsure"
DOES_CLASS = "map of glioma, meningioma, pituitary tumour, no tumour"
DOES_ANYWAY = "show the reading of a refused slice all the same"
DOES_METHOD = "next way to make the map"
DOES_AIM = "to the most suspicious slice of a stack"

IN_SCRIPT = {
    "anyway": "Show the reading all the same",
    "noMap": "No map: this slice has no reading",
    "hidden": "Unmarked; M shows the map of {shown} ({method})",
    "window": "shown with level {center} and width {width}",
    "readPlain": "only shown so; read as it is",
    "readWithout": "the window is only shown: the answer is of the enhanced scan",
    "fileValue": " · the value in the file: {value}",
    "ofAnswer": "Map of where the answer comes from ({method})",
    "ofOther": "Map of what speaks for {shown} ({method}); the answer is {answer}",
    "nothing": "Nothing in this scan speaks for {shown}.",
    "withMap": "{name} with the map of {shown} at {opacity} opacity",
    "point": "Point at the picture to read its values.",
    "values": "Map here: {map} · scan: {scan} of 255",
    "hatched": "Hatched: unlike the slices that the model knows. Empty: nothing to read.",
}
