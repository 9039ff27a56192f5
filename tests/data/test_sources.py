from collections import Counter
from typing import get_args

import pytest

from brat.data.index import IndexedSlice
from brat.data.sources import (
    SOURCES,
    Protocol,
    _listed,
    number_in_stack,
    shows_ct,
    shows_mass,
    site_of,
    source_for,
)


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


@pytest.mark.parametrize(
    ("source", "file", "number"),
    [("lgg", "lgg/t1/TCGA_DU_5851-1995-12.jpg", 12), ("lgg", "lgg/12.jpg", 12), ("br35h", "a-12.jpg", None)],
)
def test_slices_of_stacks_have_a_number(source, file, number):
    assert number_in_stack(source, file) == number


def test_a_slice_of_ct_is_no_mass_and_a_mass_no_ct():
    for shows, shows_not, name in (
        (shows_ct, shows_mass, "ct_slices.txt"),
        (shows_mass, shows_ct, "mass_slices.txt"),
    ):
        assert all(shows(file) and not shows_not(file) for file in _listed(name))


def test_what_shows_ct_is_in_the_index(data_index):
    from brat.data.index import read_index

    files = {s.file: s for s in read_index(data_index)}
    assert _listed("ct_slices.txt") <= files.keys()
    assert {files[file].source for file in _listed("ct_slices.txt")} == {"sartaj", "br35h"}
    assert sum(map(shows_ct, files)) == len(_listed("ct_slices.txt")) == 71


def test_what_shows_a_mass_is_called_free_of_tumours(data_index):
    from brat.data.index import read_index

    shown = [s for s in read_index(data_index) if shows_mass(s.file)]
    assert {s.label for s in shown} == {"no_tumor"}
    assert Counter(s.source for s in shown) == {"br35h": 42, "sartaj": 3}
    # A cyst, and a healthy head that is nearly like one of them.
    assert not any(shows_mass(file) for file in ("br35h/no/3880.jpg", "br35h/no/4071.jpg"))
