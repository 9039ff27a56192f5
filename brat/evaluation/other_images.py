"""Images that are no brain MRI slices, to measure the out-of-distribution check: photographs, CT, noise,
text.

They are drawn here, or come with scikit-image, scikit-learn and pydicom; every run yields the same images. A
folder of more, such as CT of the head, can be named.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from brat.io.read import read_scan
from brat.io.scan import MIN_SIDE

OUTSIDE_KINDS = {
    "head-ct": "CT of the head, a collection",
    "lumbar-spine-mri": "MRI of the spine, a collection",
}
"""Folder -> kind of its pictures, see `outside_images`."""

_AS_SEEN = {
    "CT of the head": "a CT",
    "CT of the head, a collection": "a CT",
    "CT of the body": "a CT",
    "MRI of the body": "an MRI of another part of the body",
    "MRI of the spine, a collection": "an MRI of another part of the body",
    "bone scan": "another kind of medical image",
    "ultrasound": "another kind of medical image",
    "microscope and eye": "another kind of medical image",
    "text": "a page or a screenshot",
    "chart": "a page or a screenshot",
    "screenshot": "a page or a screenshot",
    "photograph": "a photograph",
    "face": "a photograph",
}

_PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "cat",
    "clock",
    "coffee",
    "coins",
    "hubble_deep_field",
    "moon",
    "rocket",
)
_TEXTURES = ("brick", "grass", "gravel")
_WORDS = ("scan", "read", "monday", "ward", "note", "patient", "date", "contrast", "dose", "report", "visit")


def as_seen(kind: str) -> str:
    """What to call a kind of picture in a sentence to a clinician: "a CT"."""
    return _AS_SEEN.get(kind, "a drawing or a pattern")


def outside_images(folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """The pictures of a folder's sub-folders, as `other_images`; the sub-folder's name tells their kind."""
    for sub, kind in OUTSIDE_KINDS.items():
        for path in sorted((folder / sub).iterdir()):
            yield path.stem, kind, read_scan(path).gray


def other_images() -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield every image as (name, kind, uint8 (height, width)); the same ones, in the same order, each time.

    Needs scikit-image, scikit-learn and pydicom.
    """
    makers: tuple[tuple[str, Callable[[np.random.Generator], Iterator[tuple[str, np.ndarray]]]], ...] = (
        ("photograph", _photographs),
        ("texture", _textures),
        ("cut-out", _cut_outs),
        ("noise", _noise),
        ("gradient", _gradients),
        ("pattern", _patterns),
        ("text", _texts),
        ("chart", _charts),
        ("screenshot", _screenshots),
        ("flat with a spot", _spots),
        ("face", _faces),
        ("digit", _digits),
        ("microscope and eye", _microscope_and_eye),
        ("CT of the head", _head_ct),
        ("CT of the body", _body_ct),
        ("MRI of the body", _body_mri),
        ("ultrasound", _ultrasound),
        ("bone scan", _bone_scan),
        ("segmentation", _segmentation),
        ("phantom", _phantoms),
        ("overlapping shapes", _overlapping_shapes),
        ("few shapes", _few_shapes),
        ("cloud", _clouds),
    )
    for seed, (kind, make) in enumerate(makers):
        for name, gray in make(np.random.default_rng(seed)):
            yield name, kind, np.ascontiguousarray(gray)


def _gray(image: np.ndarray) -> np.ndarray:
    """An image of scikit-image or scikit-learn -> uint8 (height, width)."""
    if image.dtype == bool or image.dtype.kind == "f":
        image = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    if image.ndim == 3:
        image = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)
    return image


def _skimage(name: str) -> np.ndarray:
    from skimage import data

    return _gray(getattr(data, name)())


def _scenes() -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data
    from sklearn.datasets import load_sample_images

    for name in _PHOTOGRAPHS:
        yield name, _skimage(name)
    yield "motorcycle", _gray(data.stereo_motorcycle()[0])
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        yield name, _gray(image)


def _variants(
    name: str, gray: np.ndarray, draw: np.random.Generator, crops: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The image, its mirror image, a turned and a darkened one, and random crops of a third to two thirds."""
    yield name, gray
    yield f"{name}, mirrored", gray[:, ::-1]
    yield f"{name}, on its side", np.rot90(gray)
    yield f"{name}, dark", (gray * 0.4).astype(np.uint8)
    height, width = gray.shape
    for number in range(crops):
        share = draw.uniform(0.33, 0.67)
        down, across = max(MIN_SIDE, int(height * share)), max(MIN_SIDE, int(width * share))
        top, left = draw.integers(0, height - down + 1), draw.integers(0, width - across + 1)
        yield f"{name}, crop {number}", gray[top : top + down, left : left + across]


def _photographs(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name, gray in _scenes():
        yield from _variants(name, gray, draw, crops=6)


def _textures(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name in _TEXTURES:
        yield from _variants(name, _skimage(name), draw, crops=4)


def _cut_outs(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Photographs cut out in a head's outline on black, so that only what is inside gives them away."""
    sources = [*_scenes(), *((name, _skimage(name)) for name in _TEXTURES)]
    for name, gray in sources:
        for number in range(2):
            yield f"{name}, cut out {number}", _ellipse(draw) * cv2.resize(gray, (256, 256))


def _ellipse(draw: np.random.Generator) -> np.ndarray:
    """uint8 (256, 256): 1 inside a head-sized ellipse, else 0."""
    mask = np.zeros((256, 256), np.uint8)
    axes = (int(draw.integers(80, 105)), int(draw.integers(100, 122)))
    cv2.ellipse(mask, (128, 128), axes, draw.uniform(-15, 15), 0, 360, 1, -1)
    return mask


def _noise(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(8):
        yield f"white {number}", draw.integers(0, 256, (256, 256), np.uint8)
        strength = draw.uniform(15, 60)
        yield f"normal {number}", draw.normal(128, strength, (256, 256)).clip(0, 255).astype(np.uint8)
        rough = draw.normal(size=(256, 256)).astype(np.float32)
        smooth = cv2.GaussianBlur(rough, (0, 0), draw.uniform(2, 20))
        yield f"smooth {number}", _full_range(smooth)
        pepper = np.full((256, 256), 128, np.uint8)
        pepper[draw.random((256, 256)) < draw.uniform(0.02, 0.3)] = 255
        pepper[draw.random((256, 256)) < draw.uniform(0.02, 0.3)] = 0
        yield f"salt and pepper {number}", pepper
        yield f"smooth in an ellipse {number}", _full_range(smooth) * _ellipse(draw)
        yield f"white in an ellipse {number}", draw.integers(0, 256, (256, 256), np.uint8) * _ellipse(draw)


def _full_range(values: np.ndarray) -> np.ndarray:
    return ((values - values.min()) * (255 / (values.max() - values.min()))).astype(np.uint8)


def _gradients(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    rows, columns = np.mgrid[:256, :256] / 255
    for number in range(6):
        angle = draw.uniform(0, 2 * np.pi)
        yield f"linear {number}", _full_range(np.cos(angle) * columns + np.sin(angle) * rows)
        x, y = draw.uniform(0.3, 0.7, 2)
        radius = np.hypot(columns - x, rows - y)
        yield f"radial {number}", _full_range(-radius)
        yield f"ball {number}", (255 * np.sqrt(np.clip(1 - (radius / 0.45) ** 2, 0, 1))).astype(np.uint8)


def _patterns(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data

    rows, columns = np.mgrid[:256, :256]
    for cell in (8, 16, 32, 64, 128):
        yield f"checkerboard {cell}", (((rows // cell + columns // cell) % 2) * 255).astype(np.uint8)
        yield f"stripes {cell}", ((columns // cell % 2) * 255).astype(np.uint8)
        yield f"rings {cell}", _full_range(np.cos(np.hypot(rows - 128, columns - 128) * (6.28 / cell)))
    for number, share in enumerate((0.2, 0.35, 0.5, 0.65)):
        blobs = data.binary_blobs(256, blob_size_fraction=0.1, volume_fraction=share, rng=number)
        yield f"blobs {number}", _gray(blobs)
    for name in ("checkerboard", "colorwheel", "horse", "logo"):
        yield name, _skimage(name)
    for number in range(6):
        picture = Image.new("L", (256, 256), int(draw.integers(0, 256)))
        pen = ImageDraw.Draw(picture)
        for _ in range(12):
            x, y, width, height = (int(v) for v in draw.integers(0, 160, 4))
            shape = pen.ellipse if draw.random() < 0.5 else pen.rectangle
            shape((x, y, x + width, y + height), fill=int(draw.integers(0, 256)))
        yield f"shapes {number}", np.array(picture)


def _texts(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("page", "text"):
        yield from _variants(name, _skimage(name), draw, crops=2)
    for number in range(14):
        paper, ink = (250, 20) if number % 2 else (10, 235)
        picture = Image.new("L", (480, 640), paper)
        _write(ImageDraw.Draw(picture), draw, (30, 30, 450, 610), int(draw.integers(11, 40)), ink)
        yield f"{'white' if number % 2 else 'black'} page {number}", np.array(picture)


def _write(
    pen: ImageDraw.ImageDraw, draw: np.random.Generator, box: tuple[int, int, int, int], size: int, ink: int
) -> None:
    """Fill a box with lines of words."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = box
    for y in range(top, bottom - size, int(size * 1.4)):
        line = ""
        while pen.textlength(line, font) < draw.uniform(0.6, 0.95) * (right - left):
            line += str(draw.choice(_WORDS)) + " "
        pen.text((left, y), line, fill=ink, font=font)


def _charts(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(24):
        paper, ink = (255, 0) if number % 2 else (15, 240)
        picture = Image.new("L", (560, 420), paper)
        pen = ImageDraw.Draw(picture)
        chart = ("bars", "curves", "points", "pie")[number // 2 % 4]
        if chart != "pie":
            pen.line((60, 20, 60, 370, 540, 370), fill=ink, width=2)
            for tick in range(6):
                pen.text((25, 362 - 65 * tick), str(tick * 20), fill=ink)
                pen.text((70 + 90 * tick, 380), str(draw.choice(_WORDS)), fill=ink)
        if chart == "bars":
            for bar in range(10):
                height = int(draw.integers(20, 340))
                left = 75 + 46 * bar
                pen.rectangle((left, 370 - height, left + 30, 369), fill=int(draw.integers(60, 200)))
        elif chart == "curves":
            for _ in range(3):
                heights = np.clip(200 + np.cumsum(draw.normal(0, 12, 120)), 25, 365)
                points = [(60 + 4 * step, float(height)) for step, height in enumerate(heights)]
                pen.line(points, fill=int(draw.integers(60, 200)), width=3)
        elif chart == "points":
            for x, y in draw.normal((300, 190), (90, 60), (200, 2)):
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=int(draw.integers(60, 200)))
        else:
            edges = np.sort(draw.uniform(0, 360, 5))
            for begin, end in zip(edges, np.roll(edges, -1), strict=True):
                end = end + 360 if end < begin else end
                pen.pieslice((120, 50, 440, 370), begin, end, fill=int(draw.integers(60, 230)), outline=ink)
        yield f"{chart} {number}", np.array(picture)


def _screenshots(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Windows with a title bar, a menu, text, buttons and a picture in them."""
    scenes = list(_scenes())
    for number in range(20):
        dark = number % 2 == 0
        back, panel, ink = (24, 45, 225) if dark else (250, 228, 30)
        width, height = ((960, 600), (600, 960))[number // 2 % 2]
        picture = Image.new("L", (width, height), back)
        pen = ImageDraw.Draw(picture)
        pen.rectangle((0, 0, width, 34), fill=panel)
        font = ImageFont.load_default(15)
        pen.text((14, 8), "File   Edit   View   Window   Help", fill=ink, font=font)
        pen.rectangle((0, 35, 170, height), fill=panel)
        _write(pen, draw, (12, 60, 160, height - 40), 15, ink)
        _write(pen, draw, (200, 60, width - 30, 60 + height // 3), int(draw.integers(13, 22)), ink)
        for button in range(3):
            x = 200 + 120 * button
            pen.rounded_rectangle((x, height - 60, x + 100, height - 25), 8, fill=130)
            pen.text((x + 20, height - 52), str(draw.choice(_WORDS)), fill=255, font=font)
        if number % 3:
            _, scene = scenes[int(draw.integers(len(scenes)))]
            inset = Image.fromarray(scene).resize((width // 3, height // 4))
            picture.paste(inset, (210, 80 + height // 3))
        yield f"{'dark' if dark else 'light'} window {number}", np.array(picture)


def _spots(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    rows, columns = np.mgrid[:256, :256]
    for number in range(24):
        ground = (0, 60, 128, 200)[number % 4]
        x, y = draw.uniform(50, 206, 2)
        radius = draw.uniform(4, 60)
        distance = np.hypot(columns - x, rows - y)
        if number % 3:
            picture = np.where(distance < radius, 255, ground)
        else:
            picture = ground + (255 - ground) * np.exp(-((distance / radius) ** 2))
        yield f"spot {number}", picture.astype(np.uint8)


def _faces(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data

    # The first hundred are faces, the others pieces of background. They are 25 x 25 pixels.
    for number, face in enumerate(data.lfw_subset()[:100:4]):
        enlarged = cv2.resize(face.astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
        yield f"face {number}", _full_range(enlarged)
        yield f"face {number}, cut out", _full_range(enlarged) * _ellipse(draw)


def _digits(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    from sklearn.datasets import load_digits

    for number, digit in enumerate(load_digits().images[:20]):
        enlarged = cv2.resize(digit * (255 / 16), (256, 256), interpolation=cv2.INTER_CUBIC)
        gray = enlarged.clip(0, 255).astype(np.uint8)
        yield f"digit {number}", gray if number % 2 else 255 - gray


def _microscope_and_eye(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("retina", "microaneurysms", "immunohistochemistry", "cell"):
        yield from _variants(name, _skimage(name), draw, crops=3)


def _dicom(name: str) -> np.ndarray:
    """Full-range values of a file that comes with pydicom, float (height, width)."""
    import pydicom

    dataset = pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "test_files" / name)
    # What says that it is no MR is refused by its header; the check is to judge the picture.
    dataset.Modality = "MR"
    content = io.BytesIO()
    dataset.save_as(content)
    return read_scan(content.getvalue(), name).pixels.astype(float)


def _windows(
    name: str, values: np.ndarray, windows: tuple[tuple[float, float], ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """A slice at several windows (centre, width): upright, mirrored, turned by 15 degrees and enlarged."""
    height, width = values.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1)
    for center, span in windows:
        gray = (np.clip((values - center) / span + 0.5, 0, 1) * 255).astype(np.uint8)
        label = f"{name} at {center:g}/{span:g}"
        yield label, gray
        yield f"{label}, mirrored", gray[:, ::-1]
        yield f"{label}, turned", cv2.warpAffine(gray, turn, (width, height))
        middle = gray[height // 6 : -height // 6, width // 6 : -width // 6]
        yield f"{label}, enlarged", cv2.resize(middle, (width, height), interpolation=cv2.INTER_CUBIC)


def _head_ct(_: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    # Hounsfield units: brain, wide, and bone.
    yield from _windows("skull base", _dicom("J2K_pixelrep_mismatch.dcm"), ((40, 80), (50, 400), (500, 2000)))
    yield from _windows("vertex", _dicom("693_J2KI.dcm"), ((40, 80), (50, 400), (500, 2000)))


def _body_ct(_: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    values = _dicom("CT_small.dcm")
    yield from _windows("spine", values, ((float(np.median(values)), 400), (float(np.median(values)), 1500)))


def _body_mri(_: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name, file in (("abdomen", "examples_overlay.dcm"), ("detail", "MR_small.dcm")):
        values = _dicom(file)
        top = float(np.percentile(values, 99.5))
        yield from _windows(name, values, ((top / 2, top), (top / 3, top / 1.5)))


def _ultrasound(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for name, file in (("lymph node", "examples_jpeg2k.dcm"), ("sector", "examples_palette.dcm")):
        yield from _variants(name, _dicom(file).clip(0, 255).astype(np.uint8), draw, crops=4)


def _bone_scan(_: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    values = _dicom("JPEG2000.dcm")
    top = float(np.percentile(values, 99.5))
    yield from _windows("whole body", values, ((top / 2, top), (top / 6, top / 3)))


def _segmentation(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    mask = (_dicom("liver_1frame.dcm") > 0).astype(np.uint8) * 255
    yield from _variants("liver", mask, draw, crops=2)


def _phantoms(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Shepp and Logan's drawn head, at several contrasts, blurs and noise levels."""
    values = _skimage("shepp_logan_phantom").astype(np.float32)
    for number in range(12):
        changed = 255 * (values / 255) ** draw.uniform(0.4, 1)
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), draw.uniform(0.3, 4)), np.float32)
        changed += draw.normal(0, draw.uniform(0, 8), values.shape) * (values > 0)
        yield f"Shepp-Logan {number}", changed.clip(0, 255).astype(np.uint8)


def _overlapping_shapes(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Shapes in front of each other, many small and few large ones: the edges of any scene (Lee, Mumford and
    Huang 2001, doi 10.1023/A:1011109015675)."""
    for number in range(48):
        picture = np.full((256, 256), draw.integers(0, 256), np.uint8)
        for _ in range(int(draw.integers(1, 80))):
            half = min(6 / np.sqrt(draw.uniform(0.002, 1)), 120)
            _shape(picture, draw, draw.uniform(0, 256, 2), (half, half * draw.uniform(0.3, 1)))
        yield (
            f"shapes {number}",
            np.asarray(cv2.GaussianBlur(picture, (0, 0), draw.uniform(0.3, 4)), np.uint8),
        )


def _few_shapes(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """One to four large shapes on a flat ground."""
    for number in range(48):
        picture = np.full((256, 256), draw.choice((0, 0, 60, 128, 200)), np.uint8)
        for _ in range(int(draw.integers(1, 5))):
            _shape(picture, draw, draw.uniform(40, 216, 2), tuple(draw.uniform(8, 90, 2)))
        yield (
            f"shapes {number}",
            np.asarray(cv2.GaussianBlur(picture, (0, 0), draw.uniform(0.3, 6)), np.uint8),
        )


def _shape(
    picture: np.ndarray, draw: np.random.Generator, center: np.ndarray, halves: tuple[float, ...]
) -> None:
    """Draw an ellipse or a rectangle of any grey and direction into a picture, in place."""
    gray, turn = int(draw.integers(0, 256)), draw.uniform(0, 180)
    x, y = center.tolist()
    if draw.random() < 0.5:
        axes = (max(1, int(halves[0])), max(1, int(halves[1])))
        cv2.ellipse(picture, (int(x), int(y)), axes, turn, 0, 360, gray, -1)
    else:
        corners = cv2.boxPoints(((x, y), (2 * halves[0], 2 * halves[1]), turn))
        cv2.fillPoly(picture, [corners.astype(np.int32)], gray)


def _clouds(draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Noise whose amplitude falls with frequency to some power, as in photographs (Field 1987, doi
    10.1364/JOSAA.4.002379); every other one in a head's outline."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    frequency[0, 0] = 1
    for number in range(48):
        spectrum = np.fft.fft2(draw.normal(size=(256, 256))) / frequency ** draw.uniform(0.5, 2)
        values = np.real(np.fft.ifft2(spectrum))
        values = 128 + (values - values.mean()) * (draw.uniform(20, 70) / values.std())
        gray = values.clip(0, 255).astype(np.uint8)
        yield f"cloud {number}", gray * _ellipse(draw) if number % 2 else gray
