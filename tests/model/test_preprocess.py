from __future__ import annotations

import cv2
import numpy as np
import pytest

from brat.model.preprocess import (
    BRIGHT_PERCENTILE,
    SIZE,
    Geometry,
    find_head,
    find_inside,
    frame,
    prepare,
    to_input,
)

# height, width, the head's centre (x, y) and radii (across, down) in pixels
HEADS = {
    "square": (512, 512, (256, 256), (180, 220)),
    "small": (64, 64, (32, 32), (24, 28)),
    "model size": (224, 224, (112, 112), (90, 100)),
    "odd": (301, 257, (120.5, 150.5), (83, 111)),
    "portrait": (640, 301, (150, 330), (120, 150)),
    "landscape": (301, 640, (330, 150), (150, 120)),
    "off-centre": (480, 512, (340, 190), (110, 140)),
    "in a corner": (512, 512, (120, 140), (110, 130)),
    "cut by the left edge": (400, 400, (60, 200), (120, 150)),
    "cut by all edges": (333, 287, (143, 166), (190, 230)),
    "large": (1200, 1024, (500, 640), (400, 480)),
}


def spot(shape: tuple[int, int], x: float, y: float, sigma: float) -> np.ndarray:
    """A Gaussian around a pixel, float32, its peak at 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def centroid(values: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    return float((values * columns).sum() / values.sum()), float((values * rows).sum() / values.sum())


@pytest.fixture(scope="module", params=HEADS, ids=lambda name: name.replace(" ", "-"))
def head(request, make_head):
    height, width, center, radii = HEADS[request.param]
    return make_head(height, width, center, radii), center, radii


class TestGeometry:
    @pytest.mark.parametrize(("u", "v"), [(112, 112), (60, 150), (165, 80)])
    def test_pixel_of_the_input_comes_back_to_its_place_on_the_scan(self, head, u, v):
        _, geometry = frame(head[0])
        scale = geometry.side / SIZE
        # Pixel centres: the middle of input pixel u lies at u + 1/2 of 224.
        expected = geometry.x + (u + 0.5) * scale - 0.5, geometry.y + (v + 0.5) * scale - 0.5
        on_scan = geometry.to_scan(spot((SIZE, SIZE), u, v, sigma=max(3, 1.5 / scale)))
        assert centroid(on_scan) == pytest.approx(expected, abs=0.5)

    def test_mark_on_the_scan_is_found_again_where_it_was(self, head):
        gray, (x, y), (across, down) = head
        for dx, dy in ((0, 0), (0.4, 0.3), (-0.3, -0.5), (0.1, 0.6)):
            at = (
                min(max(x + dx * across, 12), gray.shape[1] - 13),
                min(max(y + dy * down, 12), gray.shape[0] - 13),
            )
            sigma = max(2.0, gray.shape[0] / 100)
            # The rim stays the brightest thing, so that the mark changes neither level nor geometry.
            plain = np.where(gray > 200, 230, gray // 2)
            marked = plain + (230 - plain) * spot(gray.shape, *at, sigma)
            framed, geometry = frame(marked.astype(np.uint8))
            unmarked, same = frame(plain.astype(np.uint8))
            assert geometry == same
            difference = framed.astype(np.float32) - unmarked
            assert difference.max() > 60
            assert centroid(geometry.to_scan(difference)) == pytest.approx(at, abs=0.5)

    def test_cell_of_a_class_map_covers_its_sixteen_input_pixels(self, make_head):
        _, geometry = frame(make_head(480, 512, (300, 200), (150, 180)))
        cells = np.zeros((14, 14), np.float32)
        cells[9, 4] = 1
        scale = geometry.side / SIZE
        expected = geometry.x + (4 + 0.5) * 16 * scale - 0.5, geometry.y + (9 + 0.5) * 16 * scale - 0.5
        assert centroid(geometry.to_scan(cells)) == pytest.approx(expected, abs=0.5)

    def test_whole_map_covers_the_framed_part_of_the_scan_and_nothing_else(self, head):
        gray = head[0]
        _, geometry = frame(gray)
        covered = geometry.to_scan(np.ones((14, 14), np.float32))
        expected = np.zeros(gray.shape, np.float32)
        expected[
            max(geometry.y, 0) : geometry.y + geometry.side, max(geometry.x, 0) : geometry.x + geometry.side
        ] = 1
        assert covered.shape == gray.shape
        assert covered.dtype == np.float32
        np.testing.assert_array_equal(covered, expected)

    def test_map_rises_evenly_from_cell_to_cell(self, head):
        gray = head[0]
        _, geometry = frame(gray)
        on_scan = geometry.to_scan(np.tile(np.arange(14, dtype=np.float32), (14, 1)))
        # Columns between the middles of the first and the last cell.
        columns = np.arange(gray.shape[1])
        expected = (columns + 0.5 - geometry.x) * 14 / geometry.side - 0.5
        inside = (expected >= 0) & (expected <= 13)
        row = np.clip(geometry.y + geometry.side // 2, 0, gray.shape[0] - 1)
        np.testing.assert_allclose(on_scan[row, inside], expected[inside], atol=0.02)

    def test_map_stays_within_its_range(self, head):
        _, geometry = frame(head[0])
        values = np.random.default_rng(0).random((14, 14), np.float32)
        on_scan = geometry.to_scan(values)
        assert on_scan.min() >= 0
        assert on_scan.max() <= values.max() + 1e-6

    def test_crop_fills_with_black_outside_the_scan(self):
        image = np.full((4, 6), 7, np.uint8)
        cut = Geometry(x=4, y=-1, side=4, width=6, height=4).crop(image)
        np.testing.assert_array_equal(cut, [[0, 0, 0, 0], [7, 7, 0, 0], [7, 7, 0, 0], [7, 7, 0, 0]])

    def test_box_is_where_its_pixels_are(self, head):
        gray = head[0]
        height, width = gray.shape
        _, geometry = frame(gray)
        left, top = geometry.x + geometry.side // 3, geometry.y + geometry.side // 2
        left, top = max(left, 0), max(top, 0)
        right = min(left + geometry.side // 5 + 1, width)
        bottom = min(top + geometry.side // 6 + 1, height)
        box = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width)
        x, y, across, down = geometry.box_to_input((*box, (bottom - top) / height))

        filled = np.zeros(gray.shape, np.float32)
        filled[top:bottom, left:right] = 1
        shrinks = geometry.side > SIZE
        on_input = cv2.resize(
            geometry.crop(filled),
            (SIZE, SIZE),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        # A box is measured from edge to edge, a centroid from pixel centre to pixel centre.
        assert centroid(on_input) == pytest.approx((x - 0.5, y - 0.5), abs=0.5)
        assert across * down == pytest.approx(on_input.sum(), rel=0.03)


class TestFindHead:
    def test_box_is_the_heads(self, head):
        gray, (x, y), (across, down) = head
        height, width = gray.shape
        tolerance = 2 + 2 * max(height, width) / 160
        expected = max(x - across, 0), max(y - down, 0), min(x + across, width), min(y + down, height)
        assert find_head(gray) == pytest.approx(expected, abs=tolerance)

    @pytest.mark.parametrize("thickness", [1, 3, 5])
    def test_white_frame_is_passed_over(self, make_head, thickness):
        gray = make_head(512, 512, (230, 280), (140, 170))
        bordered = cv2.rectangle(gray.copy(), (0, 0), (511, 511), 255, thickness)
        assert find_head(bordered) == pytest.approx(find_head(gray), abs=4)

    def test_line_from_the_head_to_the_frame_is_passed_over(self, make_head):
        gray = make_head(512, 512, (230, 280), (140, 170))
        ruled = cv2.rectangle(gray.copy(), (0, 0), (511, 511), 255, 3)
        ruled[280:, 229:232] = 255
        ruled[279:282, :230] = 255
        assert find_head(ruled) == pytest.approx(find_head(gray), abs=6)

    def test_letters_in_the_corners_are_passed_over(self, make_head):
        gray = make_head(512, 512, (256, 270), (150, 180))
        lettered = gray.copy()
        for text, at in (("A", (240, 40)), ("R", (8, 260)), ("512 x 512", (8, 500)), ("SE 3", (430, 24))):
            cv2.putText(lettered, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
        assert find_head(lettered) == pytest.approx(find_head(gray), abs=4)

    def test_noise_behind_the_head_is_passed_over(self, make_head):
        gray = make_head(400, 400, (170, 210), (110, 140))
        noise = np.random.default_rng(0).rayleigh(6, gray.shape)
        noisy = np.clip(gray + noise, 0, 255).astype(np.uint8)
        assert find_head(noisy) == pytest.approx(find_head(gray), abs=6)

    def test_whole_scan_where_nothing_stands_out(self):
        specks = np.zeros((200, 300), np.uint8)
        specks[::20, ::20] = 255
        assert find_head(specks) == (0, 0, 300, 200)
        assert find_head(np.zeros((200, 300), np.uint8)) == (0, 0, 300, 200)

    def test_small_bright_piece_is_not_taken_for_the_head(self):
        gray = np.zeros((200, 200), np.uint8)
        gray[90:110, 90:110] = 255  # a hundredth of the scan
        assert find_head(gray) == (0, 0, 200, 200)


def with_border(gray: np.ndarray, top: int, bottom: int, left: int, right: int, level: int = 255):
    return cv2.copyMakeBorder(gray, top, bottom, left, right, cv2.BORDER_CONSTANT, value=level)


def with_title_bar(gray: np.ndarray) -> np.ndarray:
    bar = np.full((36, gray.shape[1]), 230, np.uint8)
    cv2.putText(bar, "Brain MRI, series 4", (6, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 30, 1, cv2.LINE_AA)
    return np.vstack([bar, gray])


BORDERS = {
    "all round": lambda gray: (with_border(gray, 20, 20, 20, 20), (20, 20)),
    "pale": lambda gray: (with_border(gray, 30, 30, 30, 30, level=150), (30, 30)),
    "16 to 9": lambda gray: (with_border(gray, 0, 0, 156, 155), (156, 0)),
    "9 to 16": lambda gray: (with_border(gray, 155, 156, 0, 0), (0, 155)),
    "one side": lambda gray: (with_border(gray, 0, 0, 0, 60), (0, 0)),
    "title bar": lambda gray: (with_title_bar(gray), (0, 36)),
    "title bar in a border": lambda gray: (with_border(with_title_bar(gray), 20, 20, 20, 20), (20, 56)),
}


class TestBorders:
    @pytest.fixture
    def gray(self, make_head):
        return make_head(400, 400, (190, 210), (150, 170))

    @pytest.mark.parametrize("name", BORDERS, ids=lambda name: name.replace(" ", "-"))
    def test_framed_head_is_that_of_the_slice_without_it(self, gray, name):
        bordered, (x, y) = BORDERS[name](gray)
        framed, geometry = frame(gray)
        same, moved = frame(bordered)
        assert find_inside(bordered) == (x, y, x + gray.shape[1], y + gray.shape[0])
        np.testing.assert_array_equal(same, framed)
        assert (moved.x - geometry.x, moved.y - geometry.y, moved.side) == (x, y, geometry.side)
        assert (moved.height, moved.width) == bordered.shape

    def test_input_is_black_where_the_border_was(self, make_head):
        gray = make_head(300, 300, (150, 90), (130, 120))  # cut by its upper edge
        framed, geometry = frame(gray)
        bordered, moved = frame(with_border(gray, 40, 40, 40, 40))
        assert geometry.x < 0 or geometry.y < 0
        np.testing.assert_array_equal(bordered, framed)
        assert (moved.x, moved.y) == (geometry.x + 40, geometry.y + 40)

    @pytest.mark.parametrize("thickness", [3, 4, 8])
    def test_frame_drawn_over_the_edge_is_passed_over(self, gray, thickness):
        drawn = gray.copy()
        for edge in (drawn[:thickness], drawn[-thickness:], drawn[:, :thickness], drawn[:, -thickness:]):
            edge[:] = 255
        assert find_inside(drawn) == (thickness, thickness, 400 - thickness, 400 - thickness)
        np.testing.assert_allclose(find_head(drawn), find_head(gray), atol=3)

    def test_compressed_border_is_cut_too(self, gray):
        written = cv2.imencode(".jpg", with_border(gray, 40, 40, 40, 40), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        bordered = cv2.imdecode(written, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_allclose(find_inside(bordered), (40, 40, 440, 440), atol=3)

    def test_what_is_wider_than_a_third_is_no_border(self, gray):
        wide = with_border(gray, 0, 0, 0, 220)
        assert find_inside(wide) == (0, 0, 620, 400)
        assert find_inside(with_border(gray, 0, 0, 0, 190)) == (0, 0, 400, 400)
        white = np.full((200, 300), 255, np.uint8)
        assert find_inside(white) == (0, 0, 300, 200)

    @pytest.mark.parametrize("raised", [0, 40, 70])
    def test_background_is_no_border(self, gray, raised):
        assert find_inside(gray // 3 + np.uint8(raised)) == (0, 0, 400, 400)

    def test_neck_that_reaches_the_edge_is_no_border(self, make_head):
        cut = make_head(333, 287, (143, 166), (190, 230))
        assert find_inside(cut) == (0, 0, 287, 333)

    def test_map_of_a_bordered_scan_lies_on_the_head(self, gray):
        bordered, (x, y) = BORDERS["title bar in a border"](gray)
        cells = np.random.default_rng(0).random((14, 14), np.float32)
        on_slice, on_scan = frame(gray)[1].to_scan(cells), frame(bordered)[1].to_scan(cells)
        np.testing.assert_array_equal(on_scan[y : y + 400, x : x + 400], on_slice)


class TestFrame:
    def test_shape_type_and_range(self, head):
        gray, _, _ = head
        model_input, geometry = prepare(gray)
        assert model_input.shape == (SIZE, SIZE, 1)
        assert model_input.dtype == np.float32
        assert model_input.min() == -1
        assert model_input.max() == 1
        assert (geometry.height, geometry.width) == gray.shape

    def test_head_fills_the_input(self, head):
        gray, _, _ = head
        framed, _ = frame(gray)
        rows, columns = np.nonzero(framed > 30)
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.9 * SIZE < longest <= SIZE

    def test_prepare_is_frame_and_to_input(self, make_head):
        gray = make_head(300, 260)
        framed, geometry = frame(gray)
        model_input, same = prepare(gray)
        np.testing.assert_array_equal(model_input, to_input(framed))
        assert geometry == same

    def test_scan_is_left_as_it_was(self, head):
        gray = head[0]
        before = gray.copy()
        frame(gray)
        np.testing.assert_array_equal(gray, before)

    def test_bright_level_is_the_percentile_of_the_head(self):
        # A head whose grays are known: 1 to 200, as many pixels of each.
        gray = np.zeros((224, 224), np.uint8)
        gray[12:212, 12:212] = np.arange(1, 201)[:, np.newaxis]
        framed, geometry = frame(gray)
        head = gray[gray >= 24]  # what is above 12 % of the brightest
        level = np.percentile(head, BRIGHT_PERCENTILE)
        square = cv2.resize(geometry.crop(gray), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        expected = np.clip(np.round(square * (255 / level)), 0, 255)
        assert np.abs(framed.astype(int) - expected).max() <= 2

    def test_few_hot_pixels_do_not_darken_the_rest(self, make_head):
        gray = make_head(256, 256) // 2
        hot = gray.copy()
        hot[100:104, 100:104] = 255
        cool, _ = frame(gray)
        with_hot, _ = frame(hot)
        assert np.median(np.abs(with_hot.astype(int) - cool)) <= 1

    @pytest.mark.parametrize("gain", [0.5, 0.75, 1.1])
    def test_gain_of_the_scanner_does_not_matter(self, head, gain):
        gray, _, _ = head
        framed, geometry = frame(gray)
        other, elsewhere = frame(np.round(gray * gain).astype(np.uint8))
        assert (elsewhere.x, elsewhere.y, elsewhere.side) == pytest.approx(
            (geometry.x, geometry.y, geometry.side), abs=2 + max(gray.shape) / 160
        )
        assert np.abs(framed.astype(int) - other).mean() < 3

    @pytest.mark.parametrize("raised", [10, 40, 70])
    def test_raised_background_does_not_matter(self, make_head, raised):
        gray = make_head(256, 256) // 3
        framed, geometry = frame(gray)
        other, elsewhere = frame(gray + np.uint8(raised))
        assert elsewhere == geometry
        # Resizing rounds to a grey level of the scan, and levelling stretches that.
        assert np.abs(framed.astype(int) - other).max() <= np.ceil(255 / gray.max())

    def test_margin_around_the_scan_does_not_matter(self, make_head):
        gray = make_head(300, 300, (150, 150), (110, 130))
        framed, geometry = frame(gray)
        padded, moved = frame(np.pad(gray, ((40, 10), (90, 60))))
        assert (moved.x - geometry.x, moved.y - geometry.y) == pytest.approx((90, 40), abs=4)
        assert np.abs(framed.astype(int) - padded).mean() < 6

    def test_black_and_flat_images_do_not_fail(self):
        black, _ = frame(np.zeros((100, 80), np.uint8))
        assert black.max() == 0
        flat, _ = frame(np.full((100, 80), 90, np.uint8))
        assert flat.max() == 0

    @pytest.mark.parametrize("shape", [(64, 900), (900, 64), (64, 64), (65, 67)])
    def test_extreme_shapes(self, shape):
        gray = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        framed, geometry = frame(gray)
        assert framed.shape == (SIZE, SIZE)
        assert geometry.to_scan(np.ones((14, 14), np.float32)).shape == shape

    def test_to_input_keeps_leading_axes(self):
        batch = to_input(np.array([0, 255], np.uint8)[:, None, None] * np.ones((2, SIZE, SIZE), np.uint8))
        assert batch.shape == (2, SIZE, SIZE, 1)
        assert batch.dtype == np.float32
        assert batch[0].max() == -1
        assert batch[1].min() == pytest.approx(1, abs=1e-6)
        assert batch[1].max() <= 1
