"""The moving picture of the README: how long it is, how large, and of which sample."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageSequence

from brat.io.samples import load_samples
from brat.model.reader import Reader
from tests.factories.paths import ROOT
from tools import readme_pictures
from tools.readme_pictures import LARGEST, SECONDS, as_webp, surest, to_length


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (72, 128, 3), np.uint8))


def test_all_pictures_together_take_ten_seconds():
    frames = [(noise(seed), milliseconds) for seed, milliseconds in enumerate((900, 80, 80, 333))]
    lengths = to_length(frames, SECONDS)
    assert sum(lengths) == 10_000
    assert lengths[0] > lengths[3] > lengths[1] == lengths[2]
    with Image.open(readme_pictures.io.BytesIO(as_webp(frames))) as moving:
        assert moving.n_frames == 4


def test_a_moving_picture_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(readme_pictures, "LARGEST", 1000)
    with pytest.raises(RuntimeError, match="more than 1,000"):
        as_webp([(noise(0), 100), (noise(1), 100)])


def test_it_shows_the_surest_right_reading():
    reader, samples = Reader(), load_samples()
    chosen = surest(samples, reader)
    predictions = {s.name: reader.read(readme_pictures.read_scan(s.file).gray).prediction for s in samples}
    assert predictions[chosen.name].label == chosen.label != "no_tumor"
    assert predictions[chosen.name].confidence == max(
        predictions[s.name].confidence for s in samples if predictions[s.name].label == s.label != "no_tumor"
    )


def test_the_readme_opens_with_a_moving_picture_of_ten_seconds():
    file = ROOT / "docs" / "review.webp"
    assert file.stat().st_size < LARGEST
    with Image.open(file) as moving:
        lengths = []
        for frame in ImageSequence.Iterator(moving):
            # Pillow knows how long a picture is seen once it is decoded.
            frame.load()
            lengths.append(frame.info["duration"])
    assert sum(lengths) == 1000 * SECONDS
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 0 < readme.index("](docs/review.png)") < readme.index("](docs/review.webp)") < readme.index("## ")
