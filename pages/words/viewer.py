"""Sentences of the viewer. Its HTML takes the constants by name; its script gets `IN_SCRIPT`."""

STAGE = "Picture: + and − zoom, arrows move, 0 resets, M flips the map, D divides"
DIVIDER = "Divider between the scan and its map"
SCALE = "Each class's map is scaled to its own strongest spot"
BAR = "Colour bar from 0, no evidence, to 1, strongest evidence"
FLIP = "Show or hide the map (space or M)"
COMPARE_HELP = "Scan left and map right of a divider to drag (D)"
SAVE_HELP = "Save the scan with this map as a PNG"
THRESHOLD_HELP = "Hide the map where its value is lower"
DOES_ZOOM = "zoom; through a stack the wheel needs Ctrl for it"
DOES_COMPARE = "compare: divider between scan and map; drag it, or <kbd>←</kbd> <kbd>→</kbd> on it"
DOES_SLICES = "through a stack, by one slice, by ten, to its ends"
ALONE_HELP = "Opens it in Review, with enhancement, verdict and report"
AIM_HELP = "Marked in the strip by a triangle (S)"
DOES_AIM = "to the most suspicious slice of a stack"

IN_SCRIPT = {
    "noMap": "No map: the model was not asked about this slice, or should not be",
    "ofAnswer": "Map of where the answer comes from ({method})",
    "ofOther": "Map of what speaks for {shown} ({method}); the answer is {answer}",
    "nothing": "Nothing in this scan speaks for {shown}.",
    "withMap": "{name} with the map of {shown} at {opacity} opacity",
    "point": "Point at the picture, or touch it, to read its values.",
    "values": "Map here: {map} · scan: {scan} of 255",
    "hatched": "Hatched: unlike the slices that the model knows. Empty: nothing to read.",
}
