from typing import get_args

import pytest

from brat.data.index import IndexedSlice
from brat.data.sources import SOURCES, Protocol, site_of, source_for


def test_every_protocol_has_one_collection():
    assert {source_for(protocol) for protocol in get_args(Protocol)} <= set(SOURCES)


@pytest.mark.parametrize(
    ("source", "file", "site"),
    [
        ("figshare", "figshare/glioma/1840.jpg", "figshare, first hospital"),
        ("figshare", "figshare/glioma/1841.jpg", "figshare, second hospital"),
        ("figshare", "figshare/glioma/0001.png", "figshare, first hospital"),
        ("figshare", "figshare/glioma/a 2000.jpg", "figshare"),
        ("br35h", "br35h/no/2000.jpg", "br35h"),
        ("my hospital", "1841.png", "my hospital"),
    ],
)
def test_site_is_told_by_the_collections_own_rule(tmp_path, source, file, site):
    assert site_of(source, file) == site
    s = IndexedSlice(tmp_path / file, file, source, "glioma", True, "group", "cluster", 0)
    assert s.site == site


def test_sites_ascend():
    for source in SOURCES.values():
        assert list(source.sites) == sorted(source.sites)


def test_what_shows_ct_is_in_the_index(data_index):
    from brat.data.index import read_index
    from brat.data.sources import _ct_slices, shows_ct

    files = {s.file: s for s in read_index(data_index)}
    assert _ct_slices() <= files.keys()
    assert {files[file].source for file in _ct_slices()} == {"sartaj", "br35h"}
    assert sum(map(shows_ct, files)) == len(_ct_slices()) == 71
