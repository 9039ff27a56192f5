"""One way from stored values to gray: bits, padding, rescale, window; and one window for a series."""

from __future__ import annotations

import io

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from brat.io.display import display_range, without_background
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from tests.factories.files import slice_of
from tests.factories.heads import synthetic_head

HEAD = synthetic_head(80, 70).astype(np.uint16) * 10
NO_WINDOW = {"WindowCenter": None, "WindowWidth": None, "WindowCenterWidthExplanation": None}


def head(pixels: np.ndarray = HEAD, **changes) -> bytes:
    return slice_of(0, PixelData=pixels.tobytes(), **(NO_WINDOW | changes))


def changed(data: bytes, **elements) -> Dataset:
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        if keyword.startswith("PixelPadding"):
            dataset[keyword].VR = "US"
    return dataset


def written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_bits_of_an_overlay_are_no_part_of_the_values(syntax):
    overlaid = HEAD.copy()
    overlaid[10:30, 10:30] |= 0xF000
    dataset = changed(head(overlaid))
    if syntax == JPEG2000Lossless:
        # The encoder refuses values beyond Bits Stored.
        dataset.BitsStored, dataset.HighBit = 16, 15
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 12, 11
    scan = read_scan(written(dataset))
    np.testing.assert_array_equal(scan.pixels, HEAD)
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)


@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_values_that_end_at_the_high_bit_are_moved_down(syntax):
    dataset = changed(head(HEAD << 4), HighBit=15)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_scan(written(dataset)).pixels, HEAD)


def test_signed_values_of_fewer_bits_keep_their_sign():
    signed = HEAD.astype(np.int16) - 900
    scan = read_scan(head((signed & 0x0FFF).astype(np.uint16), PixelRepresentation=1))
    np.testing.assert_array_equal(scan.pixels, signed)


@pytest.mark.parametrize("syntax", [None, RLELossless])
@pytest.mark.parametrize(
    ("padding", "header"),
    [
        (4000, {"PixelPaddingValue": 4000}),
        (3990, {"PixelPaddingValue": 3900, "PixelPaddingRangeLimit": 4000}),
        (3990, {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 3900}),
    ],
)
def test_padding_is_shown_as_the_darkest_measured_value(syntax, padding, header):
    padded = HEAD + 5
    padded[:, :12] = padding
    dataset = changed(head(padded), **header)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    scan = read_scan(written(dataset))
    expected = HEAD + 5
    expected[:, :12] = expected[:, 12:].min()
    np.testing.assert_array_equal(scan.pixels, expected)
    assert scan.gray[:, :12].max() == 0
    white = read_scan(written(changed(written(dataset), PhotometricInterpretation="MONOCHROME1")))
    assert white.gray[:, :12].max() == 0


def test_padding_of_signed_values_may_be_written_without_its_sign():
    signed = HEAD.astype(np.int16)
    signed[:, :12] = -2000
    of_signed = head(signed, PixelRepresentation=1, BitsStored=16, HighBit=15)
    scan = read_scan(written(changed(of_signed, PixelPaddingValue=63536)))
    assert scan.pixels.min() == 0


@pytest.mark.parametrize(
    "elements", [{"RescaleIntercept": "NaN"}, {"RescaleSlope": "0"}, {"RescaleSlope": "inf"}]
)
@pytest.mark.filterwarnings("ignore")
def test_rescale_that_is_no_number_is_left_out_and_said(elements):
    data = head(RescaleSlope="2.00", RescaleIntercept="1.00")
    for keyword, value in elements.items():
        old = {"RescaleSlope": b"2.00", "RescaleIntercept": b"1.00"}[keyword]
        data = data.replace(old, value.encode().ljust(4))
    scan = read_scan(data)
    np.testing.assert_array_equal(scan.pixels, HEAD)
    assert any("rescale slope or intercept" in remark for remark in scan.remarks)
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)


@pytest.mark.parametrize("window", [(60_000, 10), (-5000, 100), (40, 0.5), (1e6, 1e-3)])
def test_window_that_leaves_one_shade_is_replaced_and_said(window):
    scan = read_scan(head(WindowCenter=window[0], WindowWidth=window[1]))
    plain = read_scan(head())
    np.testing.assert_array_equal(scan.gray, plain.gray)
    assert "Under the window in the header" in scan.remarks[0]
    assert not plain.remarks
    # Its own window, and every other one, can still be chosen.
    assert [preset.center for preset in scan.presets] == [window[0]]
    assert scan.windowed(scan.presets[0]).gray.shape == scan.gray.shape


def test_window_of_no_width_is_said():
    scan = read_scan(head(WindowCenter=100, WindowWidth=0))
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)
    assert "window in the header cannot be used" in scan.remarks[0]


def test_window_of_fractions_has_a_slope():
    fractions = {"RescaleSlope": 0.0005, "RescaleIntercept": 0}
    scan = read_scan(head(**fractions, WindowCenter=0.5, WindowWidth=0.9))
    assert len(np.unique(scan.gray)) > 10
    assert not scan.remarks


def test_table_of_zeros_falls_back_to_the_window_and_then_to_the_values():
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, 16], np.zeros(4096, np.uint16).tobytes()
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "OW"
    plain = changed(head())
    plain.VOILUTSequence = [item]
    scan = read_scan(written(plain))
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)
    assert "table in the header" in scan.remarks[0]
    assert scan.window is not None
    plain.WindowCenter, plain.WindowWidth = 800, 900
    np.testing.assert_array_equal(
        read_scan(written(plain)).gray, read_scan(head(WindowCenter=800, WindowWidth=900)).gray
    )


def test_emptiness_is_judged_by_values():
    with pytest.raises(UnreadableScan, match="all over"):
        read_scan(head(np.full((80, 70), 7, np.uint16)))
    faint = np.zeros((80, 70), np.uint16)
    faint[40, 35] = 1
    assert isinstance(read_scan(head(faint, WindowCenter=2000, WindowWidth=4000)), Scan)


def test_background_far_below_or_amid_the_values_is_dark():
    values = synthetic_head(64, 64).astype(np.float32)
    is_air = values < 10
    scored = (values - values[~is_air].mean()) / values[~is_air].std()
    scored[is_air] = 0
    far = values.copy()
    far[is_air] = -32768
    for volume in (scored, far):
        volume[0], volume[-1], volume[:, 0], volume[:, -1] = (volume[0, 0],) * 4
        low, high = display_range(without_background(volume))
        assert low == volume[~is_air][volume[~is_air] != volume[0, 0]].min()
        assert high <= volume.max()
    np.testing.assert_array_equal(without_background(values), values)
    inverted = 255 - values
    np.testing.assert_array_equal(without_background(inverted), inverted)


def test_a_single_hot_or_cold_pixel_leaves_the_rest_as_it_is():
    values = synthetic_head(256, 256).astype(np.int16) * 10
    low, high = display_range(values)
    for place, value in (((128, 128), 32767), ((128, 128), -32768)):
        spoilt = values.copy()
        spoilt[place] = value
        assert np.allclose(display_range(spoilt), (low, high), atol=20)


def test_nifti_with_a_background_of_its_own():
    head_of = synthetic_head(80, 80).astype(np.int16) * 10
    volume = np.stack([head_of] * 6, axis=-1)
    marked = np.where(volume < 100, -32768, volume).astype(np.int16)
    opened = [
        load(group_into_series([File("a.nii", nibabel.Nifti1Image(v, np.eye(4)).to_bytes())])[0]).stack()[3]
        for v in (np.maximum(volume, volume[volume >= 100].min()), marked)
    ]
    assert np.abs(opened[0].gray.astype(int) - opened[1].gray).max() <= 1


def slices(shades, **changes) -> list[File]:
    return [
        File(str(number), slice_of(number, PixelData=(HEAD * shade).tobytes(), **(NO_WINDOW | changes)))
        for number, shade in enumerate(shades)
    ]


def test_series_without_windows_takes_one_from_all_its_slices():
    air = np.random.default_rng(0).integers(0, 9, (80, 70)).astype(np.uint16)
    files = [File("air", slice_of(0, PixelData=air.tobytes(), **NO_WINDOW)), *slices([0, 1, 1, 1])[1:]]
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    stack = series.stack()
    assert {scan.window for scan in stack} == {series.window}
    assert stack[0].gray.max() < 4
    assert stack[2].gray.max() == 255
    # The same slice by itself is shown in another way: no cache may take one for the other.
    alone = read_scan(files[0].source)
    assert alone.digest != stack[0].digest
    assert alone.slice_digest == stack[0].slice_digest


def test_series_with_windows_keeps_them():
    series = load(group_into_series(slices([1, 1], WindowCenter=900, WindowWidth=700))[0])
    assert [scan.window.center for scan in series.stack()] == [900, 900]


def test_pages_of_sixteen_bits_have_one_window():
    stream = io.BytesIO()
    pages = [Image.fromarray((HEAD // 4 if page == 0 else HEAD).astype(np.uint16)) for page in range(3)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    stack = load(group_into_series([File("a.tif", stream.getvalue())])[0]).stack()
    assert stack[0].gray.max() < 80
    assert stack[1].gray.max() == 255


@pytest.mark.parametrize("window", [(1000, 1), (1000, 0.5), (1000, 1e9), (1e30, 1e30)])
def test_window_that_leaves_two_shades_is_replaced_and_said(window):
    scan = read_scan(head(WindowCenter=window[0], WindowWidth=window[1]))
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)
    assert scan.remarks[0].startswith("Under the window in the header hardly anything is to be seen.")
    assert [preset.width for preset in scan.presets] == [window[1]]


def test_air_at_the_end_of_a_series_is_dark_and_does_not_choose_its_window():
    air = np.random.default_rng(0).integers(0, 3, HEAD.shape).astype(np.uint16)
    window = {"WindowCenter": 1250, "WindowWidth": 2500}
    files = [
        File(str(number), slice_of(number, PixelData=pixels.tobytes(), **window))
        for number, pixels in enumerate([air, HEAD, HEAD + 1, air])
    ]
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    assert (series.window.center, series.window.width) == (1250, 2500)
    assert series.remarks == ()
    assert [series.stack()[number].remarks for number in (0, 3)] == [(), ()]
    assert series.stack()[0].gray.max() == 0


def test_slice_whose_window_shows_nothing_is_shown_under_that_of_its_series():
    files = [
        File(str(n), slice_of(n, PixelData=(HEAD + n).tobytes(), WindowCenter=center, WindowWidth=width))
        for n, (center, width) in enumerate([(400, 800), (60_000, 5)])
    ]
    series = load(group_into_series(files)[0])
    assert isinstance(series, Series)
    second = series.stack()[1]
    np.testing.assert_array_equal(second.gray, series.window.apply(second.pixels))
    (remark,) = second.remarks
    assert remark.endswith("The slice is shown under the window of the series.")


def table(entries: int, values: bytes) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [entries, 0, 16], values
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


@pytest.mark.parametrize("item", [Dataset(), table(4096, bytes(200)), table(4096, bytes(199) + b"\1")])
def test_table_that_cannot_be_used_is_said(item):
    scan = read_scan(written(changed(head(), VOILUTSequence=[item])))
    np.testing.assert_array_equal(scan.gray, read_scan(head()).gray)
    assert scan.remarks == ("The table in the header (VOI LUT) cannot be used.",)
    scan = read_scan(written(changed(head(), ModalityLUTSequence=[item])))
    np.testing.assert_array_equal(scan.pixels, HEAD)
    assert "(Modality LUT) cannot be used" in scan.remarks[0]


def test_modality_table_makes_the_values():
    ramp = (np.arange(4096) * 3).astype(np.uint16)
    scan = read_scan(written(changed(head(), ModalityLUTSequence=[table(4096, ramp.tobytes())])))
    np.testing.assert_array_equal(scan.pixels, HEAD * 3)
    assert scan.remarks == ()


def test_slope_in_words_is_said():
    data = written(changed(head(), RescaleSlope="9.99", RescaleIntercept="0")).replace(b"9.99", b"ABCD")
    scan = read_scan(data)
    np.testing.assert_array_equal(scan.pixels, HEAD)
    assert "no number" in scan.remarks[0]


def test_compressed_values_that_end_at_the_high_bit_are_moved_down():
    dataset = changed(head(HEAD << 4), BitsStored=16, HighBit=15)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 12, 15
    np.testing.assert_array_equal(read_scan(written(dataset)).pixels, HEAD)


@pytest.mark.parametrize("bits", [8, 10])
def test_values_beyond_the_bits_of_the_header_are_refused(bits):
    pixels = (synthetic_head(80, 70).astype(np.float32) * 14).astype(np.uint16)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 2)
    assert smooth.max() > 2 << bits
    with pytest.raises(UnreadableScan, match=f"ran over {bits} bits"):
        read_scan(head(smooth, BitsStored=bits, HighBit=bits - 1))
    read_scan(head(smooth, BitsStored=16, HighBit=15))


def test_background_in_one_corner_lies_outside_too():
    values = HEAD.astype(np.int16)
    values[:20] = -32768
    cleaned = without_background(values)
    assert cleaned.min() == 0
    np.testing.assert_array_equal(cleaned[20:], values[20:])


def test_background_of_an_inverted_picture_is_its_highest_value():
    stored = 2500 - HEAD
    stored[0], stored[-1], stored[:5], stored[:, 0], stored[:, -1] = (65535,) * 5
    scan = read_scan(head(stored, PhotometricInterpretation="MONOCHROME1", BitsStored=16, HighBit=15))
    assert scan.gray[0, 0] == 0
    assert scan.pixels.max() == stored[stored < 65535].max()


def test_mask_of_two_values_stays():
    mask = np.where(HEAD > 500, 1000, 0).astype(np.uint16)
    np.testing.assert_array_equal(without_background(mask), mask)


def test_sixteen_bits_that_ran_over_are_refused():
    smooth = cv2.GaussianBlur(synthetic_head(256, 256).astype(np.float32), (0, 0), 3)
    png = cv2.imencode(".png", (smooth * 1000).astype(np.int64).astype(np.uint16))[1].tobytes()
    with pytest.raises(UnreadableScan, match="exported to 16 bits"):
        read_scan(png)
    assert (
        read_scan(cv2.imencode(".png", (smooth * 257).astype(np.uint16))[1].tobytes()).pixels.max() > 50_000
    )


@pytest.mark.parametrize("keyword", ["ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_shape_of_a_pixel_may_be_that_of_the_detector(keyword):
    scan = read_scan(head(**{keyword: [2.0, 1.0]}))
    assert scan.gray.shape == (160, 70)
    assert scan.spacing is None


def test_pixels_a_thousand_times_as_high_as_wide_are_not_believed():
    scan = read_scan(head(PixelSpacing=[1000.0, 1.0]))
    assert (scan.gray.shape, scan.spacing) == ((80, 70), None)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": "1e38"},
        {"RescaleSlope": "1e300"},
        {"RescaleSlope": "1e-300"},
        {"RescaleIntercept": "1e38"},
    ],
)
def test_rescale_beyond_what_values_hold_is_left_out_and_said(elements):
    scan = read_scan(written(changed(head(), **{"RescaleSlope": "1", "RescaleIntercept": "0", **elements})))
    np.testing.assert_array_equal(scan.pixels, HEAD)
    assert "far too large or small" in scan.remarks[0]


def test_order_of_bytes_that_does_not_fit_is_said():
    data = head()
    little, big = (f"{uid}\0".encode() for uid in (ExplicitVRLittleEndian, ExplicitVRBigEndian))
    assert data.count(little) == 1
    with pytest.raises(
        UnreadableScan, match=r"lie in big endian order .* but they lie in little endian order"
    ):
        read_scan(data.replace(little, big))
    swapped = head(HEAD.byteswap())
    with pytest.raises(UnreadableScan, match=r"bytes of each value .* the other way round"):
        read_scan(swapped)


@pytest.mark.parametrize("side", [3, 8, 12])
def test_a_bright_block_leaves_the_rest_as_it_is(side):
    values = HEAD.astype(np.int32)
    low, high = display_range(values)
    with_block = values.copy()
    with_block[:side, :side] = 30_000
    assert display_range(with_block)[0] == low
    assert display_range(with_block)[1] == pytest.approx(high, rel=0.02)


def test_what_a_dark_picture_shows_is_no_block():
    # A mask of few values, and a small lesion that shades into what is around it.
    mask = np.zeros((200, 200), np.uint16)
    mask[:20, :20], mask[20:30, :20] = 1, 1000
    assert display_range(mask) == (0, 1000)
    rows, columns = np.mgrid[:200, :200]
    spot = 5000 * np.exp(-((rows - 100) ** 2 + (columns - 100) ** 2) / 200) + rows
    assert display_range(spot.astype(np.float32))[1] == pytest.approx(np.percentile(spot, 99.9), rel=1e-5)
