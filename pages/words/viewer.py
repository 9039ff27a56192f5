"""Words of the picture with its map, and of the stack of slices; those in capitals stand in its HTML."""

STAGE = "Picture: + and − zoom, arrows move, 0 resets, M flips the map, D divides"
DIVIDER = "Divider between the scan and its map"
SCAN = "Scan"
SCALE = "Each class's map is scaled to its own strongest spot"
NO_EVIDENCE = "no evidence"
STRONGEST = "strongest evidence"
BAR = "Colour bar from 0, no evidence, to 1, strongest evidence"
MAP_OF = "Map of"
FLIP = "Show or hide the map (space or M)"
COMPARE = "Compare"
COMPARE_HELP = "Scan left and map right of a divider to drag (D)"
ZOOM = "Zoom"
ZOOM_OUT = "Zoom out"
ZOOM_IN = "Zoom in"
RESET = "Reset"
RESET_HELP = "Show the whole picture again (0)"
SAVE = "Save picture"
SAVE_HELP = "Save the scan with this map as a PNG"
OPACITY = "Opacity"
THRESHOLD = "Show only above"
THRESHOLD_HELP = "Hide the map where its value is lower"
COLOURS = "Colours"
KEYS = "Keys and gestures"
KEYS_TITLE = "Mouse, touch and keys"
KEY_ZOOM = "Wheel, pinch, <kbd>+</kbd> <kbd>−</kbd>"
DOES_ZOOM = "zoom; through a stack the wheel needs Ctrl for it"
KEY_MOVE = "Drag, <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd>"
DOES_MOVE = "move the zoomed picture"
DOES_RESET = "whole picture again"
KEY_FLIP = "<kbd>Space</kbd> or <kbd>M</kbd>"
DOES_FLIP = "map on and off"
DOES_COMPARE = "compare: divider between scan and map; drag it, or <kbd>←</kbd> <kbd>→</kbd> on it"
KEY_SLICES = "Wheel, <kbd>↑</kbd> <kbd>↓</kbd>, <kbd>Page</kbd>, <kbd>Home</kbd> <kbd>End</kbd>"
DOES_SLICES = "through a stack, by one slice, by ten, to its ends"
SLICE = "Slice"
ALONE = "Read this slice alone"
ALONE_HELP = "Opens it in Review, with enhancement, verdict and report"
AIM_HELP = "Marked in the strip by a triangle (S)"
KEY_AIM = "<kbd>S</kbd>"
DOES_AIM = "to the most suspicious slice of a stack"

SAID_BY_SCRIPT = {
    "noMap": "No map: the model was not asked about this slice, or should not be",
    "ofAnswer": "Map of where the answer comes from ({method})",
    "ofOther": "Map of what speaks for {shown} ({method}); the answer is {answer}",
    "nothing": "Nothing in this scan speaks for {shown}.",
    "hide": "Hide map",
    "show": "Show map",
    "mapOf": "Map: {shown}",
    "hidden": "Map hidden",
    "off": "off",
    "withMap": "{name} with the map of {shown} at {opacity} opacity",
    "withoutMap": "{name} without its map",
    "point": "Point at the picture, or touch it, to read its values.",
    "values": "Map here: {map} · scan: {scan} of 255",
    "atOpacity": "opacity {opacity}",
    "above": "above {threshold}",
    "noEvidence": NO_EVIDENCE,
    "strongest": STRONGEST,
    "where": "Slice {number} of {count}",
    "hatched": "Hatched: unlike the slices that the model knows. Empty: nothing to read.",
}
