"""Several models: Review switches between them, and everything in it is of the one that is chosen."""

import os
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from brat.environment import WEIGHTS
from brat.model.files import MODEL, ModelFolder
from pages.parts.worklist_intake import model_digest
from pages.words import review as words
from tests.factories.files import volume
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN
from tests.factories.weights import model_folder

pytestmark = pytest.mark.usefixtures("fresh_caches")


def opened() -> AppTest:
    """Review, with a sample that is read."""
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120)
    page.session_state["entered"] = True
    page.run()
    page.button(key=f"welcome-{KNOWN.name}").click().run()
    assert not page.error
    assert any(words.CAVEAT in caption.value for caption in page.caption)
    return page


def says(page: AppTest, text: str) -> bool:
    assert not page.exception
    return any(text in caption.value for caption in page.caption)


@pytest.fixture
def other(tmp_path, monkeypatch):
    """The folder of a second model: the one that ships, without calibration and check."""
    folder = model_folder(tmp_path / "tuned")
    monkeypatch.setattr("pages.parts.readings.MODELS", (WEIGHTS, folder))
    return folder


def test_one_model_leaves_nothing_to_choose():
    page = opened()
    assert "Model" not in [box.label for box in page.selectbox]


def test_review_reads_with_the_model_that_is_chosen(other):
    page = opened()
    assert not says(page, "not calibrated")
    box = page.selectbox(key="chosen-model")
    digest = ModelFolder(other).records[MODEL].sha256[:8]
    assert box.options == [f"{WEIGHTS.name} ({digest})", f"tuned ({digest})"]
    box.set_value(other).run()
    assert says(page, "not calibrated")
    assert says(page, "was not checked")
    # A series, too.
    page.file_uploader[0].upload("volume.nii", volume()).run()
    assert not page.exception
    assert page.selectbox(key="chosen-model").value == other


def test_the_chosen_model_is_that_of_other_pages_too(other):
    page = opened()
    page.selectbox(key="chosen-model").set_value(other).run()

    def elsewhere() -> None:
        """Stands for a page without the choice."""
        import streamlit

        from pages.parts.readings import chosen

        streamlit.text(str(chosen()))

    shown = AppTest.from_function(elsewhere)
    shown.session_state["memory"] = page.session_state["memory"]
    assert shown.run().text[0].value == str(other)


def test_a_model_that_cannot_be_used_says_so_and_may_be_left_again(other):
    (other / MODEL).write_bytes(b"damaged")
    page = opened()
    page.selectbox(key="chosen-model").set_value(other).run()
    assert not page.exception
    assert f"{MODEL} in {other} is damaged" in page.error[0].value
    assert page.selectbox(key="chosen-model").options[1] == "tuned"
    page.selectbox(key="chosen-model").set_value(WEIGHTS).run()
    assert not page.exception
    assert not page.error


def test_the_environment_lists_further_models(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b", WEIGHTS]
    listed = os.pathsep.join(map(str, folders)) + os.pathsep
    code = "from brat.environment import MODELS; print(*MODELS, sep='\\n')"
    for value, expected in ((listed, [WEIGHTS, *folders[:2]]), ("", [WEIGHTS])):
        env = {**os.environ, "BRAT_MODELS": value}
        printed = subprocess.check_output([sys.executable, "-c", code], env=env, cwd=ROOT, text=True)
        assert printed.split() == list(map(str, expected))


def test_the_worklist_stays_with_the_first_model(other, monkeypatch):
    monkeypatch.setattr("pages.parts.readings.chosen", lambda: other)
    (other / MODEL).unlink()
    assert model_digest() == ModelFolder(WEIGHTS).records[MODEL].sha256
