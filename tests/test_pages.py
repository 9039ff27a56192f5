"""Each page, through Streamlit's own test harness: no browser, no server."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from brat import CLASS_NAMES, WEIGHTS
from brat.classifier import Classifier
from brat.preprocess import prepare
from brat.reader import Reader
from brat.samples import load_samples
from brat.scans import read_scan

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = load_samples()
# One that the gate lets through: the averaged heads lie near its limit, on either side.
KNOWN = next(s for s in SAMPLES if s.name == "head-axial-ring")


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    """Pages are started from the root of the project, as `streamlit run app.py` does."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def review():
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=60).run()
    assert not page.exception
    return page


def entered(name: str) -> AppTest:
    """A page as app.py opens it."""
    page = AppTest.from_file(str(ROOT / "pages" / name), default_timeout=60)
    page.session_state["entered"] = True
    return page


def answer(page: AppTest) -> str:
    return " ".join(
        block.proto.body for block in page.get("html") if '<section class="answer"' in block.proto.body
    )


def group(page: AppTest, key: str):
    return next(g for g in page.get("button_group") if g.key == key)


def expected(sample) -> str:
    return CLASS_NAMES[Classifier().predict(prepare(read_scan(sample.file).gray)[0]).label]


def test_welcome_offers_every_sample(review):
    assert [b.label for b in review.button] == [s.title for s in SAMPLES]
    assert not answer(review)


def test_sample_is_read(review):
    sample = KNOWN
    review.button(key=f"welcome-{sample.name}").click().run()
    assert not review.exception
    assert expected(sample) in answer(review)
    assert any(sample.title in c.value for c in review.caption)


def test_upload_is_read(review):
    sample = SAMPLES[0]
    review.file_uploader(key="upload").upload(sample.file.name, sample.file.read_bytes()).run()
    assert not review.exception
    assert expected(sample) in answer(review)


def test_bad_file_leaves_the_reading_as_it_was(review):
    sample = SAMPLES[0]
    review.button(key=f"welcome-{sample.name}").click().run()
    before = answer(review)
    review.file_uploader(key="upload").upload("notes.png", b"these are notes, not a scan").run()
    assert not review.exception
    assert len(review.error) == 1
    assert "notes.png" in review.error[0].value
    assert "not an image" in review.error[0].value
    assert answer(review) == before
    assert any(sample.title in c.value for c in review.caption)
    review.button(key=f"samples-{sample.name}").click().run()
    assert not review.error


def test_enhancement_is_read_on_request(review):
    review.button(key=f"welcome-{SAMPLES[0].name}").click().run()
    assert "enhanced" not in answer(review)
    review.toggle(key="brightness").set_value(True).run()
    review.slider(key="change").set_value(-40).run()
    assert "enhanced" not in answer(review)
    review.toggle(key="read_enhanced").set_value(True).run()
    assert not review.exception
    assert "Reading of the enhanced scan" in answer(review)
    assert any("As uploaded" in m.value for m in review.markdown)
    review.toggle(key="clahe").set_value(True).run()
    assert not review.exception
    review.toggle(key="clahe").set_value(False).run()
    review.toggle(key="brightness").set_value(False).run()
    assert "enhanced" not in answer(review)


def test_a_second_look_computes_nothing(review, monkeypatch):
    """Controls of the page and the same scan uploaded again are answered from the cache."""
    sample = SAMPLES[1]
    review.button(key=f"welcome-{sample.name}").click().run()

    def forbidden(*_args, **_kwargs):
        raise AssertionError("read again")

    monkeypatch.setattr(Classifier, "predict", forbidden)
    review.toggle(key="clahe").set_value(True).run()
    review.slider(key="clip_limit").set_value(4.0).run()
    review.file_uploader(key="upload").upload(sample.file.name, sample.file.read_bytes()).run()
    assert not review.exception
    # And the guard does catch a scan that is new.
    pixels = np.zeros((80, 80), np.uint8)
    pixels[20:60, 20:60] = np.arange(40) * 5 + 20
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    review.file_uploader(key="upload").upload("new.png", buffer.getvalue()).run()
    assert review.exception


def test_slow_methods_say_what_they_need(review, monkeypatch):
    monkeypatch.setattr("brat.explain.reference_available", lambda: False)
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    group(review, "method").set_value("Score-CAM").run()
    assert not review.exception
    assert any("full installation" in i.value for i in review.info)


def test_model_page_shows_what_was_measured():
    import json

    page = entered("model.py").run()
    assert not page.exception
    four = json.loads((WEIGHTS / "metrics.json").read_text())["protocols"]["four_classes"]
    balanced = four["metrics"]["balanced_accuracy"]["value"]
    assert f"{balanced:.1%}".replace("%", " %") in [m.value for m in page.metric]
    assert len(page.dataframe[0].value) == 4
    assert not any("None" in m.value or "nan" in m.value for m in page.markdown)


def test_about_page_says_what_it_is_not():
    page = entered("about.py").run()
    assert not page.exception
    assert "not a medical device" in page.warning[0].value
    for sample in SAMPLES:
        assert any(sample.title in m.value for m in page.markdown)


def test_app_navigates_to_every_page():
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert app.button


def test_other_pictures_are_refused_until_asked_for(review):
    draw = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (200, 200), dtype=np.uint8)).save(buffer, "PNG")
    review.file_uploader(key="upload").upload("noise.png", buffer.getvalue()).run()
    assert not review.exception
    assert not answer(review)
    assert "Not a slice like those" in review.warning[0].value
    anyway = next(t for t in review.toggle if t.key.startswith("anyway"))
    anyway.set_value(True).run()
    assert "of an unknown kind of picture" in answer(review)
    assert review.warning


def test_the_prediction_set_grows_with_its_certainty(review):
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    reading = Reader().read(read_scan(KNOWN.file).gray)
    for level in (0.9, 0.99):
        group(review, "level").set_value(level).run()
        names = [CLASS_NAMES[name].lower() for name in reading.sets[level]]
        (said,) = (m.value.lower() for m in review.markdown if "set:**" in m.value)
        assert said.endswith(" or ".join(names))


def test_the_app_answers_without_tensorflow():
    code = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        "page = AppTest.from_file('pages/review.py', default_timeout=60).run();"
        f"page.button(key='welcome-{SAMPLES[0].name}').click().run();"
        "assert not page.exception;"
        "assert any('<section class=\"answer\"' in block.proto.body for block in page.get('html'));"
        "print([m for m in ('tensorflow', 'keras', 'albumentations', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
