import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.figures.stability import stability
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.reader import Reader
from brat.perturb.changes import CHANGES
from brat.perturb.stability import LEVELS, Stability, Step, measure
from pages.parts.stability import table


def probabilities(label: str, share: float = 0.7) -> np.ndarray:
    values = np.full(4, (1 - share) / 3, np.float32)
    values[CLASSES.index(label)] = share
    return values


def glioma_but(**flips: tuple[float, str]) -> Stability:
    """A glioma but for one level of each kind of change named."""
    steps = []
    for change, levels in LEVELS.items():
        for level in levels:
            at, other = flips.get(change, (None, ""))
            label = other if level == at else "glioma"
            steps.append(Step(change, level, probabilities(label), label))
    return Stability(probabilities("glioma", 0.9), "glioma", tuple(steps))


class Bright:
    """Reads a meningioma in whatever is brighter than the first scan, else a glioma."""

    def read(self, gray):
        self.first = getattr(self, "first", gray.mean())
        label = "meningioma" if gray.mean() > self.first + 30 else "glioma"
        return SimpleNamespace(prediction=SimpleNamespace(probabilities=probabilities(label), label=label))


def test_every_level_is_read_after_its_change():
    gray = np.full((64, 64), 100, np.uint8)
    measured = measure(Bright(), gray)
    assert [(step.change, step.level) for step in measured.steps] == [
        (change, level) for change, levels in LEVELS.items() for level in levels
    ]
    assert [(step.change, step.level) for step in measured.flips] == [("brightness", 0.2)]
    assert measured.sentence() == "Changes to meningioma when brightened by 20\u00a0%."


def test_the_shipped_model_is_asked_as_the_page_asks_it():
    gray, reader = read_scan(load_samples()[0].file).gray, Reader()
    measured = measure(reader, gray)
    np.testing.assert_array_equal(measured.probabilities, reader.read(gray).prediction.probabilities)
    turned = next(step for step in measured.steps if (step.change, step.level) == ("rotation", 15))
    again = reader.read(CHANGES["rotation"].apply(gray, 15)).prediction
    np.testing.assert_array_equal(turned.probabilities, again.probabilities)
    assert turned.label == again.label
    assert (turned.probabilities != measured.probabilities).any()


def test_a_scan_that_holds_is_called_stable():
    assert glioma_but().sentence() == "Stable: glioma under all 18 changes, with 70 %."
    assert "other answer" not in {t.name for t in stability(glioma_but()).data if t.showlegend}


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ("CLAHE", 4, "after CLAHE with clip limit 4"),
        ("brightness", -0.1, "when darkened by 10 %"),
        ("rotation", -5, "when turned by 5° to the right"),
        ("crop", 0.02, "when 2 % is cut off each edge"),
    ],
)
def test_a_change_is_said_in_words(change, level, says):
    sentence = glioma_but(**{change: (level, "pituitary")}).sentence().replace("\u00a0", " ")
    assert sentence == f"Changes to pituitary tumour {says}."


def test_rotation_turns_the_way_that_its_words_say():
    gray = np.zeros((101, 101), np.uint8)
    gray[10, 50] = 255  # at the top
    turned = CHANGES["rotation"].apply(gray, 10)
    assert np.argmax(turned.max(axis=0)) < 50  # and to the left is counter-clockwise


def test_the_smallest_change_is_named_first():
    several = glioma_but(CLAHE=(4, "no_tumor"), rotation=(5, "pituitary"), brightness=(0.1, "meningioma"))
    assert [step.size for step in several.flips] == [1, 2, 3]
    sentence = several.sentence()
    assert (
        sentence
        == "Changes to pituitary tumour when turned by 5° to the left, and under 2 more of the 18 changes."
    )
    words = several.in_words().replace("\u00a0", " ")
    assert "Brightness: glioma has 10 % to 70 %; meningioma when brightened by 10 %." in words
    assert "Crop: glioma has 70 %." in words


def test_the_figure_draws_every_reading_and_rings_the_other_answers():
    drawn = stability(glioma_but(brightness=(0.1, "meningioma")))
    lines = [t for t in drawn.data if t.mode == "lines+markers"]
    assert len(lines) == len(LEVELS) * len(CLASSES)
    for line in lines:
        name = next(name for name, shown in CLASS_NAMES.items() if shown == line.name)
        assert line.line.color == CLASS_COLOURS[name]
    assert len({(line.line.dash, line.marker.symbol) for line in lines}) == len(CLASSES)
    assert [t.name for t in drawn.data if t.showlegend] == [*CLASS_NAMES.values(), "other answer"]
    brightness = [t for t in lines if t.xaxis == lines[4].xaxis]
    assert list(brightness[1].x) == ["−20", "−10", "−5", "as is", "+5", "+10", "+20"]
    np.testing.assert_allclose(brightness[1].y, [0.1, 0.1, 0.1, 1 / 30, 0.1, 0.7, 0.1], rtol=1e-5)
    rings = [t for t in drawn.data if t.mode == "markers" and t.x]
    assert [(list(t.x), t.xaxis) for t in rings] == [(["+10"], brightness[0].xaxis)]


def test_the_table_holds_every_number():
    rows = table(glioma_but(crop=(0.1, "no_tumor")))
    assert len(rows) == 19
    assert rows.iloc[0].change == "none"
    last = rows.iloc[-1]
    assert (last.change, last.level, last.label) == ("crop", 0.1, "no_tumor")
    np.testing.assert_allclose(rows[list(CLASSES)].sum(axis=1), 1, rtol=1e-6)


def test_loads_nothing_that_only_training_needs():
    code = "import sys, numpy as np; from brat.perturb.changes import CHANGES; import brat.perturb.stability;"
    code += "[change.apply(np.zeros((64, 64), np.uint8), change.levels[-1]) for change in CHANGES.values()];"
    code += "sys.exit('albumentations' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def _page():
    from brat.io.read import read_scan
    from brat.io.samples import load_samples
    from brat.model.reader import Reader
    from pages.parts.stability import show_stability

    show_stability(read_scan(load_samples()[0].file), Reader())


def test_review_shows_it_on_demand():
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert not page.exception
    assert not page.get("plotly_chart")
    page.toggle[0].set_value(True).run()
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1
    assert "under" in page.markdown[0].value
