"""JPEG of 12 bits, decoded by GDCM: a plugin for pydicom's decoder of JPEG Extended (PS3.5 A.4.2).

pydicom leaves it to pylibjpeg-libjpeg, which is under the GPL, and does not ask GDCM. Of pydicom's own file
GDCM makes the same values as libjpeg-turbo.
"""

from __future__ import annotations

import gdcm
import pydicom  # noqa: F401, see brat.io.dicom_header
from pydicom.pixels.decoders import JPEGExtended12BitDecoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import UID, JPEGExtended12Bit

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("python-gdcm",)}
"""Asked for by pydicom, as `is_available` is."""


def is_available(syntax: UID) -> bool:
    return syntax == JPEGExtended12Bit


def register() -> None:
    """Have pydicom ask this plugin where the others fail. Once in a process."""
    JPEGExtended12BitDecoder.add_plugin("gdcm, 12 bits", (__name__, "decode_frame"))


def decode_frame(encoded: bytes, runner: DecodeRunner) -> bytes:
    """One frame, as pydicom's plugins give it: its values row by row, in the file's bits allocated."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(encoded)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    colours = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(colours))
    syntax = gdcm.TransferSyntax.GetTSType(str.__str__(runner.transfer_syntax))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    bits = runner.bits_stored
    values = gdcm.PixelFormat(
        runner.samples_per_pixel, runner.bits_allocated, bits, bits - 1, runner.pixel_representation
    )
    image.SetPixelFormat(values)
    # GDCM's char* comes as str.
    return image.GetBuffer().encode("utf-8", "surrogateescape")
