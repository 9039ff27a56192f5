"""Compressed frames: rightly decoded, and a file that kills its decoder kills nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from brat.io import workers
from brat.io.codecs import Undecodable, decode
from brat.io.dicom import Dicom
from brat.io.read import decode_scan
from brat.io.scan import UnreadableScan
from brat.model.pool import in_order

ONE_MR = {
    "RLE Lossless": "MR_small_RLE.dcm",
    "JPEG-LS Lossless Image Compression": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000 Image Compression (Lossless Only)": "MR_small_jp2klossless.dcm",
}
ONE_CHART = {
    "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])": (
        "SC_rgb_jpeg_gdcm.dcm"
    ),
    "JPEG Baseline (Process 1)": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG-LS Lossy (Near-Lossless) Image Compression": "SC_rgb_jls_lossy_line.dcm",
    "JPEG 2000 Image Compression": "SC_rgb_gdcm_KY.dcm",
    "RLE Lossless": "SC_rgb_rle.dcm",
}


def content(name: str) -> bytes:
    return Path(get_testdata_file(name)).read_bytes()


@pytest.mark.parametrize(("syntax", "name"), ONE_MR.items(), ids=list(ONE_MR.values()))
def test_lossless_compression_loses_nothing(syntax, name):
    assert pydicom.dcmread(io.BytesIO(content(name))).file_meta.TransferSyntaxUID.name == syntax
    plain = decode_scan(content("MR_small.dcm"), "")
    np.testing.assert_array_equal(decode_scan(content(name), "").pixels, plain.pixels)


@pytest.mark.parametrize(("syntax", "name"), ONE_CHART.items(), ids=list(ONE_CHART.values()))
def test_a_chart_of_colours_is_the_same_however_it_is_compressed(syntax, name):
    assert pydicom.dcmread(io.BytesIO(content(name))).file_meta.TransferSyntaxUID.name == syntax
    # Its bands: red, pink, green, light green, blue, light blue, black, two grays, white.
    expected = [76, 166, 150, 202, 29, 143, 0, 64, 192, 255]
    gray = decode_scan(content(name), "").gray
    np.testing.assert_allclose(gray[5::10, 50], expected, atol=3)


def greedy() -> bytes:
    """A JPEG 2000 file whose stream says that it is 60,000 pixels a side."""
    data = bytearray(content("JPEG2000.dcm"))
    size = data.index(b"\xff\x4f\xff\x51") + 8
    data[size : size + 8] = (60_000).to_bytes(4, "big") * 2
    data[size + 16 : size + 24] = (60_000).to_bytes(4, "big") * 2
    return bytes(data)


def test_a_stream_that_takes_all_memory_is_refused():
    with pytest.raises(UnreadableScan, match="cannot be decompressed") as caught:
        Dicom(greedy(), "").scan()
    assert isinstance(caught.value.__cause__, Undecodable)
    assert Dicom(content("JPEG2000.dcm"), "").scan().gray.shape == (1024, 256)


def test_what_is_no_frame_is_said():
    with pytest.raises(Undecodable, match="InvalidDicomError"):
        decode(b"nothing")


def test_threads_share_the_decoders():
    data = {name: content(name) for name in ONE_MR.values()}
    plain = decode_scan(content("MR_small.dcm"), "").pixels
    for scan in in_order(lambda n: decode_scan(list(data.values())[n % 3], ""), range(30), 6):
        np.testing.assert_array_equal(scan.pixels, plain)
    assert len(workers.pool._idle) <= workers.PLACES


def test_no_words_of_the_header_reach_a_decoder(monkeypatch):
    dataset = pydicom.dcmread(io.BytesIO(content("MR_small_RLE.dcm")))
    dataset.PatientName = "PLANTED^NAME"
    written = io.BytesIO()
    dataset.save_as(written)
    sent = []
    monkeypatch.setattr("brat.io.dicom.decode", lambda frame: sent.append(frame) or decode(frame))
    decode_scan(written.getvalue(), "")
    assert sent
    assert b"PLANTED" not in sent[0]


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_of_12_bits(name):
    pixels = Dicom(content(name), "")._stored(0)
    # Values by libjpeg-turbo 3.
    assert pixels.shape == (1024, 256)
    assert (pixels.min(), pixels.max(), int(pixels.sum())) == (0, 264, 3_767_007)
    assert [pixels[420, 140], pixels[230, 120], pixels[425, 143]] == [244, 95, 201]


@pytest.mark.parametrize("number", [57, 70, 80, 90])
def test_lossless_compression_of_a_slice_of_mri(number, tmp_path):
    import gdcm

    syntax = {
        57: gdcm.TransferSyntax.JPEGLosslessProcess14,
        70: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        80: gdcm.TransferSyntax.JPEGLSLossless,
        90: gdcm.TransferSyntax.JPEG2000Lossless,
    }[number]
    reader = gdcm.ImageReader()
    reader.SetFileName(str(get_testdata_file("MR_small.dcm")))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(tmp_path / "compressed.dcm"))
    assert writer.Write()
    data = (tmp_path / "compressed.dcm").read_bytes()
    assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == f"1.2.840.10008.1.2.4.{number}"
    plain = decode_scan(content("MR_small.dcm"), "")
    np.testing.assert_array_equal(decode_scan(data, "").pixels, plain.pixels)
