"""Words of what the model's folder lacks."""

MISSING = {
    "metrics.json": "How good this model is was not measured: its folder has no `metrics.json`.",
    "model_card.json": "What this model learned from is not said: its folder has no `model_card.json`.",
    "calibration.json": (
        "Its probabilities are not calibrated yet, and there are no prediction sets: its folder has no "
        "`calibration.json`."
    ),
    "out_of_distribution.npz": (
        "It reads every picture, like the scans it knows or not: its folder has no `out_of_distribution.npz`."
    ),
    "out_of_fold.csv": (
        "Its single held-out readings cannot be downloaded: its folder has no `out_of_fold.csv`."
    ),
}
"""File of the model's folder -> what cannot be said or done without it."""


def damaged(name: str) -> str:
    return f"`{name}` in the model's folder is damaged, and what it says is not shown. Copy the folder again."
