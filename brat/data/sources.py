"""The public collections that this project was trained on and measured with, in one table.

A collection without an entry works too: it counts as one site, and no protocol that is bound to a collection
is measured on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

Protocol = Literal["same_source", "three_tumors", "random_split"]
"""Protocols that are measured on one collection alone: tumour or none within one source; the three tumours;
the random split of the original work."""


@dataclass(frozen=True)
class Source:
    """A published collection of slices.

    Attributes:
        name: as in the column `source` of an index.
        title: as published, with its authors.
        licence: of the images.
        protocols: those that are measured on it.
        sites: (number, name of a site), in ascending order: a file that is named by a number comes from the
            last site whose number it reaches. Empty where the sites are one or cannot be told apart.
        stacks: whether its slices are whole stacks, numbered from neck to vertex.
    """

    name: str
    title: str
    licence: str
    protocols: frozenset[Protocol] = frozenset()
    sites: tuple[tuple[int, str], ...] = ()
    stacks: bool = False

    def number(self, file: str) -> int | None:
        """The number of a file in its stack: what stands behind the last hyphen of its name."""
        last = PurePosixPath(file).stem.rpartition("-")[2]
        return int(last) if self.stacks and last.isdecimal() else None

    def site(self, file: str) -> str:
        """The site that a file comes from, by its name; the collection's name where no rule tells."""
        stem = PurePosixPath(file).stem
        reached = [name for first, name in self.sites if stem.isdecimal() and int(stem) >= first]
        return reached[-1] if reached else self.name


FIGSHARE = Source(
    name="figshare",
    title="Cheng, brain tumor dataset, doi 10.6084/m9.figshare.1512427",
    licence="CC BY 4.0",
    # Its slices are grouped by patient; most published figures with such a split are given on it.
    protocols=frozenset({"three_tumors"}),
    # All but three of the second hospital's slices are gliomas.
    sites=((0, "figshare, first hospital"), (1841, "figshare, second hospital")),
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        FIGSHARE,
        Source(
            name="sartaj",
            title="Bhuvaji et al., Brain Tumor Classification (MRI), Kaggle",
            licence="see kaggle.com/datasets/sartajbhuvaji/brain-tumor-classification-mri",
            # The original work made its random split on it.
            protocols=frozenset({"random_split"}),
        ),
        Source(
            name="br35h",
            title="Hamada, Br35H :: Brain Tumor Detection 2020, Kaggle",
            licence="see kaggle.com/datasets/ahmedhamada0/brain-tumor-detection",
            # It has slices with and without a tumour, so that recognising the source does not help.
            protocols=frozenset({"same_source"}),
        ),
        Source(
            name="lgg",
            title="The Cancer Genome Atlas low-grade gliomas (TCIA TCGA-LGG), as packed by Buda, Kaggle",
            licence="images CC BY 3.0, masks CC BY-NC-SA 4.0",
            stacks=True,
        ),
        Source(
            name="ms",
            title="Multiple sclerosis: Lesjak et al., open_ms_data; Muslim et al.",
            licence="CC BY",
        ),
    )
}


def site_of(source: str, file: str) -> str:
    """Where a slice was made, as far as is known: its site in `SOURCES`, else the name of its source.

    Args:
        source, file: as in `brat.data.index.IndexedSlice`.
    """
    return SOURCES[source].site(file) if source in SOURCES else source


def number_in_stack(source: str, file: str) -> int | None:
    """The number of a slice in its stack, from neck to vertex; None where the source does not number so.

    Args:
        source, file: as in `brat.data.index.IndexedSlice`.
    """
    return SOURCES[source].number(file) if source in SOURCES else None


def shows_ct(file: str) -> bool:
    """Whether a slice shows CT, though its collection is called MRI; `ct_slices.txt` lists them."""
    return file in _listed("ct_slices.txt")


def shows_mass(file: str) -> bool:
    """Whether a slice that is called free of tumours shows a mass; `mass_slices.txt` lists them."""
    return file in _listed("mass_slices.txt")


@cache
def _listed(name: str) -> frozenset[str]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def source_for(protocol: Protocol) -> str:
    """The name of the collection that a protocol is measured on."""
    (name,) = (source.name for source in SOURCES.values() if protocol in source.protocols)
    return name
