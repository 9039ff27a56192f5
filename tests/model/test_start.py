"""What is loaded when the app starts and when it answers: nothing that neither needs."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN

# Plotly is not among them: Streamlit loads it where it is installed.
HEAVY = {
    *(
        "albumentations",
        "alembic",
        "fpdf",
        "h5py",
        "highdicom",
        "jax",
        "keras",
        "matplotlib",
        "nibabel",
        "nilearn",
        "pandas",
        "pyarrow",
    ),
    *("scipy", "skimage", "sklearn", "sqlalchemy", "tensorflow", "tf_keras_vis", "torch"),
}

PROGRAM = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest

def loaded():
    return sorted({module.partition(".")[0] for module in sys.modules})

app = AppTest.from_file("app.py", default_timeout=60).run()
assert not app.exception
at_start = loaded()
app.file_uploader[0].upload("scan.png", Path(sys.argv[1]).read_bytes()).run()
assert not app.exception
assert any('<section class="answer"' in block.proto.body for block in app.get("html"))
assert any('"slices"' in component.proto.json for component in app.get("bidi_component"))
print(json.dumps([at_start, loaded()]))
"""


def test_nothing_heavy_is_loaded_at_the_start_nor_for_an_answer():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, KNOWN.file], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for modules in json.loads(result.stdout.splitlines()[-1]):
        assert {"streamlit", "ai_edge_litert", "cv2"} <= set(modules)
        assert not HEAVY & set(modules)
