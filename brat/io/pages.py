"""A picture of several pages or frames, such as TIFF -> a series."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from brat.io import sniff
from brat.io.panels import refuse_page
from brat.io.raster import MAX_PAGES, count_pages, read_raster
from brat.io.scan import Scan, UnreadableScan, decoding, part_digest, refuse_small, refuse_wrapped
from brat.io.series import ACQUIRED, Series, Stack, first_readable, under_one_window


def series_of_pages(name: str, data: bytes) -> Series:
    """A series with a page of one file for each slice; where they lie is not known.

    Args:
        name: what to call it.
        data: the file, of TIFF, WebP, animated PNG or MPO.

    Raises:
        UnreadableScan: it has too many pages, or none of them can be read.
    """
    format, digest = sniff.raster_format(data), hashlib.sha256(data).hexdigest()
    pages = count_pages(data, format)
    if pages > MAX_PAGES:
        raise UnreadableScan(f"This file has over {MAX_PAGES:,} pages, the most that are read. Split it.")

    def decode(page: int) -> Scan:
        with decoding(format):
            scan = read_raster(data, format, page)
        refuse_small(scan)
        refuse_wrapped(scan)
        refuse_page(scan.gray)
        return replace(
            scan, name=f"{name}, page {page + 1} of {pages}", digest=part_digest(digest, f"page {page}")
        )

    first = first_readable(decode, pages)
    shown, window = under_one_window(decode, pages, first)
    return Series(
        name=name,
        format=f"{first.format}, {pages} pages",
        modality="",
        digest=digest,
        planes=(ACQUIRED,),
        volumes=1,
        window=window,
        presets=(),
        cut=lambda plane, volume: Stack(pages, shown),
    )
