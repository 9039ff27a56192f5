"""What pyproject.toml cannot say: a wheel holds the app and the model too, in `brat/_bundled/`.

In the repository both stay at the top level, where Streamlit, its Community Cloud and the training commands
expect them; `brat.environment.ROOT` finds either. An editable installation copies nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
BUNDLED = ("app.py", "pages", "weights", ".streamlit/config.toml", "docs/figures.md", "docs/model-card.md")


class BuildWithApp(build_py):
    """Copies the packages, and beside them what is `BUNDLED`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "brat" / "_bundled"
        shutil.rmtree(target, ignore_errors=True)
        for name in BUNDLED:
            source, copy = HERE / name, target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy2(source, copy)


setup(cmdclass={"build_py": BuildWithApp})
