"""NIfTI volumes: which way up they are shown, whatever way they are stored; what is refused, and how."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from itertools import permutations, product

import cv2
import nibabel
import numpy as np
import pytest

from brat.io import nifti
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.nifti import read_nifti
from brat.io.scan import UnreadableScan
from brat.io.series import Series
from brat.io.sniff import is_nifti
from tests.factories.heads import synthetic_head
from tests.factories.pages import page_of

SHAPE = (70, 80, 90)
"""Left to right, back to front, foot to head."""


def head() -> np.ndarray:
    """A block whose right, front and top are bright: 100, 150 and 200 above the rest."""
    volume = (20 + np.indices(SHAPE).sum(axis=0) % 3).astype(np.int16)
    volume[-20:, 30:50, 35:55] = 120
    volume[25:45, -20:, 35:55] = 170
    volume[25:45, 30:50, -20:] = 220
    return volume


def saved(image) -> bytes:
    return image.to_bytes()


def opened(data: bytes, name: str = "volume.nii") -> Series:
    return read_nifti(data, name, hashlib.sha256(data).hexdigest())


def middle(series: Series, plane: str, volume: int = 0) -> np.ndarray:
    stack = series.stack(plane, volume)
    return stack[len(stack) // 2].pixels


def test_planes_are_shown_as_radiologists_look_at_them():
    series = opened(saved(nibabel.Nifti1Image(head(), np.eye(4))))
    assert series.planes == ("axial", "coronal", "sagittal")
    assert [len(series.stack(plane)) for plane in series.planes] == [90, 80, 70]
    axial, coronal, sagittal = (middle(series, plane) for plane in series.planes)
    assert axial.shape == (80, 70)
    assert axial[40, 5] == 120  # the patient's right, on the left
    assert axial[5, 35] == 170  # the front, at the top
    assert coronal.shape == (90, 70)
    assert coronal[45, 5] == 120
    assert coronal[5, 35] == 220  # the head's top, at the top
    assert sagittal.shape == (90, 80)
    assert sagittal[45, 5] == 170  # the front, on the left
    assert sagittal[5, 40] == 220


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)), ids=str)
def test_however_the_axes_are_stored_the_same_is_shown(order, flips):
    plain = nibabel.Nifti1Image(head(), np.diag([1, 1.1, 1.2, 1]))
    axes = np.column_stack([order, flips])
    turned = plain.as_reoriented(axes)
    assert (
        turned.shape != plain.shape or not np.array_equal(turned.dataobj, head()) or tuple(flips) == (1,) * 3
    )
    first, second = opened(saved(plain)), opened(saved(turned))
    for plane in first.planes:
        np.testing.assert_array_equal(middle(first, plane), middle(second, plane))


def test_oblique_volumes_are_shown_along_the_nearest_axes():
    tilt = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.2, 0.1, -0.1))
    straight, tilted = (opened(saved(nibabel.Nifti1Image(head(), affine))) for affine in (np.eye(4), tilt))
    np.testing.assert_array_equal(middle(straight, "axial"), middle(tilted, "axial"))


def test_a_slice_has_square_pixels():
    series = opened(saved(nibabel.Nifti1Image(head(), np.diag([1, 1, 2, 1]))))
    coronal = series.stack("coronal")
    assert coronal[40].gray.shape == (180, 70)
    assert coronal[40].spacing == (1, 1)
    assert coronal.positions[:3] == (0, 1, 2)
    assert series.stack("axial").positions[:3] == (0, 2, 4)


def test_one_window_serves_the_whole_volume():
    volume = head()
    series = opened(saved(nibabel.Nifti1Image(volume, np.eye(4))))
    grays = [scan.gray for scan in series.stack("axial")]
    assert grays[2].max() < 255 == grays[-1].max()
    wide = series.windowed(type(series.window)(1000, 2000))
    assert wide.stack("axial")[45].gray.max() < 40
    assert wide.stack("axial")[45].digest != series.stack("axial")[45].digest


def test_scaled_values_are_scaled():
    image = nibabel.Nifti1Image(head(), np.eye(4))
    image.header.set_slope_inter(2, -5)
    image.to_bytes()
    data = bytearray(saved(nibabel.Nifti1Image(head(), np.eye(4))))
    data[112:120] = np.array([2, -5], "<f4").tobytes()
    assert middle(opened(bytes(data)), "axial")[40, 5] == 2 * 120 - 5


@pytest.mark.parametrize("shape", [(3,), (1, 3)], ids=["4D", "5D"])
def test_a_volume_of_several_is_chosen(shape):
    volumes = np.stack([head(), head() + 1000, head() + 2000], axis=-1).reshape(*SHAPE, *shape)
    series = opened(saved(nibabel.Nifti1Image(volumes, np.eye(4))))
    assert series.volumes == 3
    assert [middle(series, "axial", number)[40, 5] for number in range(3)] == [120, 1120, 2120]
    digests = {series.stack("axial", number)[40].digest for number in range(3)}
    assert len(digests) == 3
    with pytest.raises(ValueError, match="no axial view of volume 3"):
        series.stack("axial", 3)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_of_number(dtype, order):
    values = (head() // 2).astype(np.dtype(dtype).newbyteorder(order))
    image = nibabel.Nifti1Image(values, np.eye(4), nibabel.Nifti1Header(endianness=order), dtype=dtype)
    shown = middle(opened(saved(image)), "axial")
    assert shown[40, 5] == 60
    assert shown.dtype.itemsize <= 4


def test_colour_is_read_as_luminance():
    values = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    values["G"] = head()
    series = opened(saved(nibabel.Nifti1Image(values, np.eye(4))))
    assert series.window is None
    scan = series.stack("axial")[45]
    assert scan.gray[40, 5] == round(0.587 * 120)
    assert scan.window is None


def test_values_that_are_no_numbers_are_dark():
    volume = head().astype(np.float32)
    volume[:, :20] = np.nan
    assert middle(opened(saved(nibabel.Nifti1Image(volume, np.eye(4)))), "axial")[-5, 35] == 20


def test_nifti_2_and_packed():
    plain = saved(nibabel.Nifti2Image(head(), np.eye(4)))
    for data in (plain, gzip.compress(plain)):
        assert is_nifti(data)
        assert middle(opened(data), "axial")[40, 5] == 120


def test_through_the_door():
    data = gzip.compress(saved(nibabel.Nifti1Image(head(), np.eye(4))))
    (item,) = group_into_series([File("brain.nii.gz", data)])
    assert item.is_series
    series = load(item)
    assert (series.name, series.format) == ("brain.nii.gz", "NIfTI, 70 x 80 x 90")
    scan = series.stack()[44]
    assert scan.name == "brain.nii.gz, axial 45 of 90"
    assert len({scan.digest for scan in series.stack()}) == 90


def pair_of(
    kind=nibabel.Nifti1Pair, order: str = "<", values: np.ndarray | None = None
) -> tuple[bytes, bytes]:
    """The header and the picture."""
    values = head() if values is None else values
    image = kind(values, np.diag([-1, 1, 1.5, 1]), kind.header_class(endianness=order), dtype=values.dtype)
    files = {name: io.BytesIO() for name in ("header", "image")}
    image.to_file_map({name: nibabel.FileHolder(fileobj=file) for name, file in files.items()})
    return tuple(file.getvalue() for file in files.values())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_a_header_and_its_picture_are_one_volume(kind, order, tmp_path):
    header, picture = pair_of(kind, order)
    single = opened(saved(nibabel.Nifti1Image(head(), np.diag([-1, 1, 1.5, 1]))))
    files = [
        *(File("a/brain.img", picture), File("b/brain.hdr", pair_of(values=head() + 8)[0])),
        *(File("b/brain.img.gz", gzip.compress(pair_of(values=head() + 8)[1])), File("a/brain.HDR", header)),
    ]
    items = group_into_series(files)
    assert [(item.name, item.is_series) for item in items] == [("b/brain.hdr", True), ("a/brain.HDR", True)]
    for item, above in zip(items, (8, 0), strict=True):
        series = load(item)
        for plane in series.planes:
            # Half a step, by which whole numbers are rounded between slices.
            np.testing.assert_allclose(middle(series, plane), middle(single, plane) + above, atol=0.5)
    for name, content in (("x.hdr", header), ("x.img", picture)):
        (tmp_path / name).write_bytes(content)
    (item,) = group_into_series([File(name, tmp_path / name) for name in ("x.hdr", "x.img")])
    assert load(item).format == "NIfTI, 70 x 80 x 90"


def test_the_picture_of_a_pair_may_begin_later():
    header, picture = pair_of()
    header = header[:108] + np.array([160], "<f4").tobytes() + header[112:]
    (item,) = group_into_series([File("a.hdr", header), File("a.img", bytes(160) + picture)])
    assert middle(load(item), "axial")[40, 5] == middle(opened(nifti.joined(*pair_of())), "axial")[40, 5]


def test_half_a_pair_and_a_broken_one_are_refused_with_a_sentence():
    header, picture = pair_of()
    (lone,) = group_into_series([File("a.hdr", header)])
    with pytest.raises(UnreadableScan, match="Give both files together"):
        load(lone)
    _, lone = group_into_series([File("b.hdr", header), File("a.img", picture)])
    with pytest.raises(UnreadableScan, match=r"Give its \.hdr file"):
        load(lone)
    for place in (1e6, -4, np.nan):
        beyond = header[:108] + np.array([place], "<f4").tobytes() + header[112:]
        (item,) = group_into_series([File("a.hdr", beyond), File("a.img", picture)])
        with pytest.raises(UnreadableScan, match="damaged"):
            load(item)
    (item,) = group_into_series([File("a.hdr", header), File("a.img", picture[:-100])])
    with pytest.raises(UnreadableScan, match="damaged"):
        load(item)
    # Analyze does not say which side is left.
    analyze = group_into_series([File("a.hdr", header[:344] + bytes(4)), File("a.img", picture)])
    with pytest.raises(UnreadableScan, match=r"Analyze.*Convert it"):
        load(analyze[0])
    with pytest.raises(UnreadableScan, match="NIfTI header"):
        load(analyze[1])


def test_an_odd_header_is_no_news_for_the_console(caplog):
    data = saved(nibabel.Nifti1Image(head(), np.eye(4)))
    opened(data[:254] + b"\x99\x09" + data[256:])
    assert not caplog.records


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("meter", 1000), ("micron", 0.001), ("unknown", 1)])
def test_lengths_are_in_millimetres_whatever_the_header_measures_in(unit, mm):
    image = nibabel.Nifti1Image(head(), np.diag([2 / mm, 2 / mm, 3 / mm, 1]))
    image.header.set_xyzt_units(unit)
    stack = opened(saved(image)).stack("axial")
    assert stack.positions[:2] == pytest.approx((0, 3))
    assert stack[45].spacing == pytest.approx((2, 2))


def test_where_a_header_disagrees_with_itself_the_affine_is_right():
    data = bytearray(saved(nibabel.Nifti1Image(head(), np.diag([1, 1, 2, 1]))))
    data[80:92] = np.array([5, 6, 7], "<f4").tobytes()
    assert opened(bytes(data)).stack("axial").positions[:2] == (0, 2)


def test_a_thin_volume_has_only_the_planes_that_can_be_read():
    assert opened(saved(nibabel.Nifti1Image(head()[:, :, :3], np.eye(4)))).planes == ("axial",)
    assert opened(saved(nibabel.Nifti1Image(head()[:, :, 0], np.eye(4)))).planes == ("axial",)


def refused(data: bytes) -> str:
    with pytest.raises(UnreadableScan) as caught:
        opened(data)
    return str(caught.value)


def test_what_cannot_be_read_is_refused_with_a_sentence(monkeypatch):
    small = nibabel.Nifti1Image(np.arange(8000, dtype=np.int16).reshape(20, 20, 20), np.eye(4))
    assert "no slice of it has 64 pixels" in refused(saved(small))
    flat = nibabel.Nifti1Image(np.full(SHAPE, 7, np.int16), np.eye(4))
    assert "one value all over" in refused(saved(flat))
    complex_ = nibabel.Nifti1Image(np.ones(SHAPE, np.complex64), np.eye(4))
    assert "complex" in refused(saved(complex_))
    vectors = nibabel.Nifti1Image(np.ones((*SHAPE[:2], 3, 2, 3), np.int16), np.eye(4))
    assert "5 dimensions" in refused(saved(vectors))
    assert "another file" in refused(pair_of()[0])
    monkeypatch.setattr(nifti, "MAX_UNPACKED", 1000)
    assert "unpacks to more" in refused(gzip.compress(saved(small)))
    monkeypatch.setattr(nifti, "MAX_VOXELS", 1000)
    assert "million voxels" in refused(saved(flat))


def test_a_broken_file_is_refused_with_a_sentence():
    plain = saved(nibabel.Nifti1Image(head(), np.eye(4)))
    packed = gzip.compress(plain)
    for data in (plain, packed):
        for share in (0.001, 0.01, 0.2, 0.5, 0.99):
            cut = data[: int(len(data) * share)]
            if is_nifti(cut):
                assert "damaged" in refused(cut) or "dimensions" in refused(cut)
    draw = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(plain)
        for at in draw.integers(0, 344, 6):
            broken[at] = draw.integers(256)
        try:
            series = opened(bytes(broken))
            series.stack()[0]
        except UnreadableScan:
            pass


def test_scale_that_is_no_number_is_said():
    data = saved(nibabel.Nifti1Image(head(), np.eye(4)))
    plain = middle(opened(data), "axial")
    cases = ((1, np.nan, 1), (np.inf, 0, 1), (np.nan, np.nan, 0), (0, 5, 0), (1e38, 0, 1), (1e-44, 0, 1))
    for slope, intercept, said in cases:
        changed = bytearray(data)
        struct.pack_into("<2f", changed, 112, slope, intercept)
        series = opened(bytes(changed))
        np.testing.assert_array_equal(middle(series, "axial"), plain)
        assert len(series.remarks) == said
        assert all("no number" in remark for remark in series.remarks)


@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_picture_without_a_named_place_follows_its_header(image):
    data = saved(image(head(), np.eye(4)))
    at, type = (108, "<f") if image is nibabel.Nifti1Image else (168, "<q")
    changed = bytearray(data)
    struct.pack_into(type, changed, at, 0)
    np.testing.assert_array_equal(middle(opened(bytes(changed)), "axial"), middle(opened(data), "axial"))


def test_sizes_of_voxels_that_disagree_are_said():
    image = nibabel.Nifti1Image(head(), None)
    image.set_sform(np.diag([2.0, 1, 1, 1]), 1)
    image.set_qform(np.eye(4), 1)
    (remark,) = opened(saved(image)).remarks
    assert "how large a voxel is" in remark


def test_size_of_voxels_that_is_no_number_is_said():
    data = bytearray(saved(nibabel.Nifti1Image(head(), None)))
    struct.pack_into("<2h", data, 252, 0, 0)
    struct.pack_into("<f", data, 80, np.nan)
    with pytest.raises(UnreadableScan, match="does not say how the volume lies"):
        opened(bytes(data))


def test_volume_whose_values_ran_over_is_refused():
    smooth = cv2.GaussianBlur(synthetic_head(200, 200).astype(np.float32), (0, 0), 2)
    wrapped = ((smooth * 4).astype(np.int64) % 256).astype(np.uint8)
    series = opened(saved(nibabel.Nifti1Image(np.stack([wrapped] * 5, axis=-1), np.eye(4))))
    with pytest.raises(UnreadableScan, match="ran over"):
        series.stack()[2]


def test_a_page_of_slices_is_not_read_as_one():
    """As a viewer or a converter of mosaics writes it: a volume of a single slice."""
    heads = [synthetic_head(200, 200, seed=seed) for seed in range(4)]
    page, single = page_of(heads, columns=2), heads[0]
    for picture, is_page in ((page, True), (single, False)):
        stored = picture.T[::-1, ::-1, np.newaxis]
        stack = read_nifti(nibabel.Nifti1Image(stored, np.eye(4)).to_bytes(), "page.nii", "0").stack()
        assert len(stack) == 1
        if is_page:
            with pytest.raises(UnreadableScan, match="holds 4 slices beside each other"):
                stack[0]
        else:
            assert np.array_equal(stack[0].pixels, picture)
