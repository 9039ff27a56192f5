"""Pages with several slices, wrapped values, and slices that were given twice."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image

from brat.io import insets, panels, touching, wrapped
from brat.io.display import to_display
from brat.io.files import File
from brat.io.intake import Item, Part, SeveralPanels, group_into_series, load
from brat.io.panels import Page, Panel, find_panels
from brat.io.read import read_scan
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from brat.io.wrapped import is_wrapped
from tests.factories.files import slice_of
from tests.factories.heads import synthetic_head
from tests.factories.pages import page_of, png


def heads(count: int, side: int = 200) -> list[np.ndarray]:
    return [synthetic_head(side, side, seed=seed) for seed in range(count)]


@pytest.mark.parametrize("shade", [0, 128, 255])
@pytest.mark.parametrize("gutter", [0, 2, 8])
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (2, 2), (3, 3), (4, 5)])
def test_each_slice_of_a_grid_is_a_panel(rows, columns, gutter, shade):
    page = page_of(heads(rows * columns), columns, gutter, shade, margin=gutter)
    panels = find_panels(page).panels
    assert len(panels) == rows * columns
    for number, panel in enumerate(panels):
        top, left = (gutter + place * (200 + gutter) for place in divmod(number, columns))
        # The head, which ends 20 pixels from the edges of its cell, is in the panel, and no other one is.
        assert left - 8 <= panel.left <= left + 24
        assert left + 176 <= panel.right <= left + 208
        assert top - 8 <= panel.top <= top + 24
        assert top + 176 <= panel.bottom <= top + 208


def test_three_planes_with_words_in_the_fourth_field():
    words = np.zeros((200, 200), np.uint8)
    for line in range(5):
        at = (10, 40 + 30 * line)
        cv2.putText(words, f"Series {line} TR 450", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    assert len(find_panels(page_of([*heads(3), words], 2)).panels) == 3


@pytest.mark.parametrize("shape", [(256, 256), (512, 400), (90, 70)])
def test_a_single_slice_has_no_panels(shape):
    gray = synthetic_head(*shape)
    lettered = gray.copy()
    cv2.putText(lettered, "JANE 1970", (4, shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    lettered[shape[0] // 4 : -shape[0] // 4, -3] = 255
    noisy = np.clip(gray + np.random.default_rng(0).rayleigh(5, shape), 0, 255).astype(np.uint8)
    bordered = cv2.copyMakeBorder(gray, 20, 20, 90, 90, cv2.BORDER_CONSTANT, value=255)
    crossed = gray.copy()
    crossed[shape[0] // 2 : shape[0] // 2 + 2, :] = crossed[:, shape[1] // 2] = 255
    for picture in (gray, lettered, noisy, bordered, crossed, gray // 5):
        assert find_panels(picture) == Page()


def test_nothing_has_no_panels():
    for level in (0, 90, 255):
        assert find_panels(np.full((100, 80), level, np.uint8)) == Page()


def test_stripes_are_no_panels():
    assert (
        find_panels(np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((8, 64), np.uint8))[:, ::4]).panels == ()
    )


def test_page_is_refused_as_one_and_offered_panel_by_panel():
    page = png(page_of(heads(4), 2, gutter=8))
    (item,) = group_into_series([File("page.png", page)])
    with pytest.raises(SeveralPanels, match="4 slices beside each other") as raised:
        load(item)
    scans = [load(panel) for panel in raised.value.items]
    assert [scan.name for scan in scans] == [f"page.png, panel {number} of 4" for number in (1, 2, 3, 4)]
    assert len({scan.digest for scan in scans} | {read_scan(page).digest}) == 5
    for number, scan in enumerate(scans):
        assert isinstance(scan, Scan)
        row, column = divmod(number, 2)
        panel = raised.value.items[number].part.panel
        whole = page_of(heads(4), 2, gutter=8)
        np.testing.assert_array_equal(scan.gray, whole[panel.top : panel.bottom, panel.left : panel.right])
        assert panel.top // 208 == row
        assert panel.left // 208 == column


def test_panels_of_a_dicom_picture_keep_their_values():
    page = page_of(heads(2), 2).astype(np.uint16) * 10
    data = slice_of(0, Rows=200, Columns=400, PixelData=page.tobytes(), SeriesInstanceUID="")
    (item,) = group_into_series([File("page.dcm", data)])
    with pytest.raises(SeveralPanels) as raised:
        load(item)
    left, right = (load(panel) for panel in raised.value.items)
    for scan in (left, right):
        assert scan.pixels.shape == scan.gray.shape
        assert scan.pixels.max() == page.max()


def test_panel_below_the_smallest_size_is_refused():
    with pytest.raises(SeveralPanels) as raised:
        load(Item("page.png", (File("page.png", png(page_of(heads(4, side=60), 2))),)))
    with pytest.raises(UnreadableScan, match="at least 64 pixels"):
        load(raised.value.items[0])


@pytest.mark.parametrize("gain", [2, 3, 4, 8])
def test_values_modulo_256_are_refused(gain):
    smooth = cv2.GaussianBlur(synthetic_head(256, 256).astype(np.float32), (0, 0), 3)
    ran_over = ((smooth * gain).astype(np.int64) % 256).astype(np.uint8)
    assert is_wrapped(ran_over)
    with pytest.raises(UnreadableScan, match="ran over"):
        read_scan(png(ran_over))
    assert not is_wrapped(np.clip(smooth * gain, 0, 255).astype(np.uint8))
    assert not is_wrapped(smooth.astype(np.uint8))


def test_letters_and_noise_have_not_run_over():
    lettered = np.zeros((256, 256), np.uint8)
    for line in range(12):
        cv2.putText(lettered, "SE 3 IM 12 BRAIN", (4, 20 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    assert not is_wrapped(lettered)
    assert not is_wrapped(
        np.clip(np.random.default_rng(0).normal(128, 60, (256, 256)), 0, 255).astype(np.uint8)
    )


def test_real_slices_are_single_and_have_not_run_over(data_index):
    rows = list(csv.DictReader(data_index.open()))
    drawn = np.random.default_rng(1).choice(len(rows), 150, replace=False)
    slices = [read_scan(data_index.parent / rows[number]["file"]).gray for number in drawn]
    for gray in slices:
        assert find_panels(gray) == Page()
        assert not is_wrapped(gray)
    pages = [page_of([cv2.resize(g, (256, 256)) for g in slices[n : n + 4]], 2, 4) for n in range(0, 80, 4)]
    several = [page for page in map(find_panels, pages) if page.panels or page.is_mixed]
    assert len(several) == len(pages)


def test_slice_that_was_given_twice_counts_once():
    data = [slice_of(number) for number in range(3)]
    (item,) = group_into_series([File(f"{n}-{copy}", data[n]) for n in range(3) for copy in range(3)])
    assert [file.name for file in item.files] == ["0-0", "1-0", "2-0"]
    series = load(item)
    assert series.left_out == ("0-1", "0-2", "1-1", "1-2", "2-1", "2-2")
    assert series.remarks == ("6 files are copies of others that are here already, and were left out.",)
    (one,) = group_into_series([File(str(copy), data[0]) for copy in range(2)])
    assert load(one).remarks == ("1 file is a copy of another that is here already, and was left out.",)


def test_equal_pixels_at_one_place_count_once():
    files = [File(f"{n}-{copy}", slice_of(n)) for n in range(3) for copy in range(3)]
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    assert series.volumes == 1
    assert [int(scan.pixels[0, 0]) for scan in series.stack()] == [0, 1, 2]
    assert series.left_out == ("0-1", "0-2", "1-1", "1-2", "2-1", "2-2")
    both = [File("again", files[0].read()), *files]
    series = load(group_into_series(both)[0])
    assert len(series.left_out) == 7
    assert series.remarks == ("7 files are copies of others that are here already, and were left out.",)


def test_equal_empty_slices_of_two_volumes_stay():
    nothing = np.zeros(80 * 70, np.uint16)
    files = []
    for number in range(3):
        for volume in range(2):
            pixels = np.full(80 * 70, volume + 1, np.uint16) if number else nothing
            pixels[0] += 500 * (number > 0)
            files.append(File(f"{number}-{volume}", slice_of(number, PixelData=pixels.tobytes())))
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    assert series.volumes == 2
    assert len(series.stack()) == 3


def test_two_patients_under_one_series_are_two_items():
    files = [File(f"{who}{n}", slice_of(n, PatientID=who)) for who in "ab" for n in range(3)]
    items = group_into_series(files)
    assert [[file.name for file in item.files] for item in items] == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    named = [File(f"{who}{n}", slice_of(n, PatientName=who)) for who in "ab" for n in range(3)]
    assert len(group_into_series(named)) == 2


def test_more_pixels_than_frames_are_an_error():
    dataset = pydicom.dcmread(io.BytesIO(slice_of(0)))
    twice = slice_of(0, PixelData=dataset.PixelData * 2)
    with pytest.raises(UnreadableScan, match="names 1 frame and holds 2"):
        read_scan(twice)
    padded = slice_of(0, PixelData=dataset.PixelData + bytes(2))
    np.testing.assert_array_equal(read_scan(padded).pixels, read_scan(slice_of(0)).pixels)


def test_wrapped_page_of_a_series_says_so():
    smooth = cv2.GaussianBlur(synthetic_head(256, 256).astype(np.float32), (0, 0), 3)
    wrapped = ((smooth * 4).astype(np.int64) % 256).astype(np.uint8)
    written = io.BytesIO()
    first, second = Image.fromarray(smooth.astype(np.uint8)), Image.fromarray(wrapped)
    first.save(written, "TIFF", save_all=True, append_images=[second])
    series = load(group_into_series([File("two.tif", written.getvalue())])[0])
    assert isinstance(series, Series)
    stack = series.stack()
    np.testing.assert_array_equal(stack[0].gray, smooth.astype(np.uint8))
    with pytest.raises(UnreadableScan, match="ran over"):
        stack[1]


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize(("size", "apart"), [(120, False), (150, False), (100, True)])
def test_smaller_picture_in_a_corner_is_refused(corner, size, apart):
    page = synthetic_head(400, 400, seed=1)
    if apart:
        # The slice leaves its corners empty.
        page = cv2.copyMakeBorder(cv2.resize(page, (280, 280)), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=0)
    inset = cv2.resize(synthetic_head(200, 200, seed=2), (size, size))
    page[:size, :size] = inset
    page = np.ascontiguousarray(page[:: -1 if corner & 1 else 1, :: -1 if corner & 2 else 1])
    assert find_panels(page).has_inset
    with pytest.raises(UnreadableScan, match="smaller picture lies in a corner"):
        load(Item("a.png", (File("a.png", png(page)),)))


def test_faint_parts_of_a_page_are_counted_and_said():
    faint = np.zeros((250, 250), np.uint8)
    faint[80:112, 80:112] = cv2.resize(synthetic_head(200, 200), (32, 32), interpolation=cv2.INTER_AREA)
    page = png(page_of([*heads(3, 250), faint], 2, gutter=8))
    with pytest.raises(SeveralPanels, match="3 slices") as raised:
        load(Item("page.png", (File("page.png", page),)))
    assert load(raised.value.items[0]).remarks == (
        "On this page 1 further part with little in it was not read.",
    )


@pytest.mark.parametrize("kind", ["files", "pages"])
def test_mosaics_inside_a_series_are_refused(kind):
    mosaic = page_of(heads(9), 3)
    single = cv2.resize(synthetic_head(200, 200), (600, 600))
    if kind == "files":
        files = [
            File(str(n), slice_of(n, Rows=600, Columns=600, PixelData=(p.astype(np.uint16) * 10).tobytes()))
            for n, p in enumerate((single, mosaic))
        ]
    else:
        written = io.BytesIO()
        Image.fromarray(single).save(written, "TIFF", save_all=True, append_images=[Image.fromarray(mosaic)])
        files = [File("a.tif", written.getvalue())]
    stack = load(group_into_series(files)[0]).stack()
    assert stack[0].gray.shape == (600, 600)
    with pytest.raises(UnreadableScan, match="9 slices beside each other, as a mosaic"):
        stack[1]


def test_slices_that_share_their_name_and_lie_apart_are_all_read():
    files = [File(str(number), slice_of(number, SOPInstanceUID="2.25.5")) for number in range(3)]
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    assert [int(scan.pixels[0, 0]) for scan in series.stack()] == [0, 1, 2]
    assert series.left_out == ()


def test_rows_beyond_those_of_the_header_are_said():
    dataset = pydicom.dcmread(io.BytesIO(slice_of(0)))
    half = slice_of(0, PixelData=dataset.PixelData + dataset.PixelData[: len(dataset.PixelData) // 2])
    (remark,) = read_scan(half).remarks
    assert "longer than its header says" in remark
    assert read_scan(slice_of(0, PixelData=dataset.PixelData + bytes(2))).remarks == ()


def test_part_of_a_page_that_is_a_page_itself_is_no_slice():
    gray = page_of([synthetic_head(256, 256), synthetic_head(256, 256)], 2)
    (item,) = group_into_series([File("page.png", png(gray))])
    whole = replace(item, part=Part(Panel(0, 0, 512, 256), 1, 2))
    with pytest.raises(UnreadableScan, match="This part of the page"):
        load(whole)


def test_part_that_is_as_large_as_two_is_split_again(monkeypatch):
    page = page_of(heads(6, 160), 3, gutter=6)
    whole = find_panels(page).panels
    assert len(whole) == 6
    once = panels._find

    def merged(gray):
        """The page with its first two slices taken for one, as two heads that touch are."""
        found = once(gray)
        if gray.shape != page.shape:
            return found
        first, second, *others = found.panels
        return found._replace(panels=(Panel(*first[:2], *second[2:]), *others))

    monkeypatch.setattr(panels, "_find", merged)
    assert len(find_panels(page).panels) == 6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("side", "scale"), [(256, 0.5), (128, 1), (256, 3)])
def test_noise_is_no_page(seed, side, scale):
    random = np.random.default_rng(seed)
    noise = np.hypot(*random.normal(0, scale, (2, side, side)))
    assert find_panels(to_display(noise.astype(np.uint16))) == Page()


def cropped(seed: int, side: int = 200) -> np.ndarray:
    """A head up to its skin, which touches all four edges."""
    gray = synthetic_head(240, 240, seed=seed)
    left, top, width, height = cv2.boundingRect((gray > 40).astype(np.uint8))
    return cv2.resize(gray[top : top + height, left : left + width], (side, side))


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (2, 2), (3, 3)])
def test_heads_that_touch_are_parted(rows, columns):
    page = page_of([cropped(seed) for seed in range(rows * columns)], columns)
    panels = find_panels(page).panels
    assert len(panels) == rows * columns
    for number, panel in enumerate(panels):
        top, left = (200 * place for place in divmod(number, columns))
        np.testing.assert_allclose(panel, (left, top, left + 200, top + 200), atol=12)


def test_a_cropped_or_padded_head_and_the_halves_of_a_brain_are_one_slice():
    assert find_panels(cropped(0)) == Page()
    for shade in (60, 255):
        padded = cv2.copyMakeBorder(
            synthetic_head(300, 260), 0, 0, 130, 130, cv2.BORDER_CONSTANT, value=shade
        )
        assert find_panels(padded) == Page()
    alone = np.zeros((218, 182), np.uint8)
    for column in (68, 114):
        cv2.ellipse(alone, (column, 145), (22, 24), 0, 0, 360, 160, -1)
    alone[140:150, 85:97] = 160
    assert find_panels(alone) == Page()


def test_a_row_of_thumbnails_is_noticed():
    small = [synthetic_head(80, 80, seed=seed) for seed in range(1, 6)]
    below = np.vstack([synthetic_head(400, 400), page_of(small, 5)])
    for page in (below, np.ascontiguousarray(below.T)):
        assert not find_panels(page).is_slice


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("kind", ["amid an edge", "framed", "on gray", "small"])
def test_smaller_picture_at_an_edge_is_refused(turn, kind):
    page, side = cropped(1, 480), {"small": 70}.get(kind, 140)
    small = synthetic_head(side, side, seed=2)
    at = 480 - side
    if kind == "framed":
        cv2.rectangle(small, (0, 0), (side - 1, side - 1), 200, 1)
    elif kind == "on gray":
        small = np.maximum(small, 90)
    elif kind == "small":
        page = cv2.copyMakeBorder(cv2.resize(page, (300, 300)), 90, 90, 90, 90, cv2.BORDER_CONSTANT, value=0)
    page[at:, 160 : 160 + side] = small
    page = np.ascontiguousarray(np.rot90(page, turn))
    assert find_panels(page).has_inset
    with pytest.raises(UnreadableScan, match="or at an edge of this one"):
        load(Item("a.png", (File("a.png", png(page)),)))


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("factor", [1.5, 2, 3])
def test_values_that_ran_over_before_an_enlargement_are_refused(factor, interpolation):
    smooth = cv2.GaussianBlur(synthetic_head(256, 256).astype(np.float32), (0, 0), 2)
    ran_over = ((smooth * 3).astype(np.int64) % 256).astype(np.uint8)
    enlarged, plain = (
        cv2.resize(picture, None, fx=factor, fy=factor, interpolation=interpolation)
        for picture in (ran_over, smooth.astype(np.uint8))
    )
    assert is_wrapped(enlarged)
    with pytest.raises(UnreadableScan, match="ran over"):
        read_scan(png(enlarged))
    assert not is_wrapped(plain)


def not_to_be_called(*arguments: object) -> None:
    raise AssertionError("this takes long, and most slices do not need it")


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_slice_with_steep_edges_is_not_made_smaller(monkeypatch, factor):
    head = cv2.resize(synthetic_head(256, 256), None, fx=factor, fy=factor)
    gray = cv2.GaussianBlur(cv2.threshold(head, 30, 220, cv2.THRESH_BINARY)[1], (3, 3), 0)
    assert wrapped._has_jumps(gray, wrapped._SOFT)
    monkeypatch.setattr(wrapped, "_resizing", not_to_be_called)
    assert not is_wrapped(gray)


def test_a_head_without_a_waist_is_not_measured(monkeypatch):
    mask = cv2.ellipse(np.zeros((160, 120), np.uint8), (60, 80), (50, 70), 0, 0, 360, 1, -1)
    monkeypatch.setattr(touching, "_heads", not_to_be_called)
    assert touching.cut_apart(mask) == []


@pytest.mark.parametrize("seed", range(20))
def test_no_straight_line_is_lost_where_edges_are_counted_by_blocks(seed):
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(60, 513, 2))
    edges = (random.random((height, width)) < random.uniform(0, 0.3)).astype(np.uint8)
    for column in random.integers(0, width, 6):
        edges[: int(random.integers(height)), column] |= random.random() < 0.7
    lines = insets._lines(edges, edges)
    counts = np.cumsum(edges, axis=0, dtype=int)[: len(lines.more)]
    more = counts[:, 4:-4] - np.maximum(counts[:, 8:], counts[:, :-8])
    sizes = np.arange(1, len(more) + 1)
    is_straight = (more / sizes[:, np.newaxis] >= insets._STRAIGHT)[sizes >= insets._SIDES[0] * height]
    found = 4 + np.flatnonzero(is_straight.any(axis=0))
    assert set(found) <= set(lines.columns)
    np.testing.assert_array_equal(lines.more, more[:, lines.columns - 4])
    # Few other columns are followed.
    assert len(lines.columns) < len(found) + width / 4


def test_a_straight_line_that_ends_within_a_block_of_rows_is_followed():
    edges = np.zeros((320, 320), np.uint8)
    # 18 of 50 rows, which is just enough, and lines beside it right below.
    edges[[5, 13, 21, 29], 100] = edges[36:50, 100] = 1
    edges[50:, (96, 104)] = 1
    lines = insets._lines(edges, edges)
    assert 100 in lines.columns
    assert lines.straight(insets._STRAIGHT)[49, list(lines.columns).index(100)]


@pytest.mark.parametrize("side", [9, 18, 31])
def test_the_outline_of_a_piece_that_is_just_large_enough_is_kept(side):
    for points in (
        ((0, 0), (side - 1, 0), (side - 1, side - 1), (0, side - 1)),
        ((side // 2, 0), (side - 1, side // 2), (side // 2, side - 1), (0, side // 2)),
    ):
        mask = cv2.fillConvexPoly(np.zeros((80, 80), np.uint8), np.array(points) + 10, 1)
        assert cv2.boundingRect(mask)[2:] == (side, side)
        assert len(insets._outlines(mask, cv2.RETR_EXTERNAL, side)) == 1
        assert not insets._outlines(mask, cv2.RETR_EXTERNAL, 4 * side)
