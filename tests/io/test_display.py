"""One way from stored values to gray: bits, padding, rescale, window; and one window for a series."""

from __future__ import annotations

import io

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless

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
