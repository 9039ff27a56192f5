"""Where the app and its model lie, and how many cores there are to use."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "_bundled"

ROOT = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent
"""The folder of `app.py`, `pages/` and `weights/`: the repository, or in an installed wheel the copy that
`setup.py` put into it."""

WEIGHTS = Path(os.environ.get("BRAT_WEIGHTS") or ROOT / "weights").expanduser()
"""The folder of the model: the environment variable `BRAT_WEIGHTS`, or the model that ships."""

_FURTHER = os.environ.get("BRAT_MODELS", "").split(os.pathsep)

MODELS = tuple(dict.fromkeys((WEIGHTS, *(Path(path).expanduser() for path in _FURTHER if path))))
"""The folders of models that Review can switch between: `WEIGHTS`, and those that the environment variable
`BRAT_MODELS` lists, as `PATH` lists folders."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use; in a container they may be fewer than the machine has."""


def model_file(weights: str | Path, name: str) -> Path:
    """The path of a file that a model cannot do without, such as `model.tflite`.

    Args:
        weights: the folder of the model.

    Raises:
        FileNotFoundError: it is not in the folder; the message says what to do.
    """
    path = Path(weights) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {name} in {weights}. Name the folder of a trained model with BRAT_WEIGHTS, "
            "--weights or brat.Reader(weights=…)."
        )
    return path


MODULES = {
    "app": (
        "alembic",
        "fpdf",
        "highdicom",
        "plotly",
        "prometheus_client",
        "sqlalchemy",
        "streamlit",
        "uharfbuzz",
        "xlsxwriter",
    ),
    "batch": ("pyarrow",),
    "department": ("dicomweb_client", "fastapi", "fastapi_offline", "pynetdicom", "uvicorn"),
    "full": (
        "albumentations",
        "h5py",
        "keras",
        "scipy",
        "sklearn",
        "tensorboard",
        "tensorflow",
        "tf_keras_vis",
    ),
    "ray": ("ray",),
}
"""Which modules each optional part of the installation brings, see `pyproject.toml`."""


def missing_package(module: str) -> str:
    """A sentence that says what to install for a module; empty where no part of the project brings it."""
    package = module.partition(".")[0]
    if package == "tools":
        return "This command needs the repository: it is no part of an installed wheel."
    extra = next((extra for extra, modules in MODULES.items() if package in modules), "")
    return extra and f'This needs {package}. Install it with: pip install "bratum-scans[{extra}]"'
