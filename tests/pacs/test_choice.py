"""Series are chosen by header, and why each is left out is said."""

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, SecondaryCaptureImageStorage

from brat.io.scan import UnreadableScan
from brat.pacs.archive import NoAnswer, PacsError, SeriesEntry
from brat.pacs.choice import choices_of, choose


def header(**values) -> Dataset:
    dataset = Dataset()
    base = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
        "BodyPartExamined": "HEAD",
        "SeriesDescription": "",
        "RepetitionTime": "500",
        "EchoTime": "9",
    }
    for keyword, value in (base | values).items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("values", "sequence"),
    [
        ({"SeriesDescription": "t1_mprage_sag_KM"}, "t1ce"),
        ({"SeriesDescription": "AX T1 SE +C"}, "t1ce"),
        ({"SeriesDescription": "AX T1 POST GAD"}, "t1ce"),
        ({"SeriesDescription": "t1_tse_tra", "ContrastBolusAgent": "GADOVIST"}, "t1ce"),
        ({"ContrastBolusAgent": "Dotarem"}, "t1ce"),
        ({"ContrastBolusAgent": "NONE"}, "t1"),
        ({"SeriesDescription": "t1 pre contrast"}, "t1"),
        ({"SeriesDescription": "3D BRAVO"}, "t1"),
        ({}, "t1"),
        ({"SeriesDescription": "t2_tirm_dark-fluid_tra"}, "flair"),
        ({"RepetitionTime": "9000", "EchoTime": "110", "InversionTime": "2500"}, "flair"),
        ({"SeriesDescription": "t1_tse_tra", "BodyPartExamined": ""}, "t1"),
    ],
)
def test_what_was_measured_is_read(values, sequence):
    choice = choose(header(**values))
    assert (choice.read, choice.sequence) == (True, sequence), choice


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"Modality": "CT"}, "not MR but CT"),
        ({"Modality": "JANE DOE"}, "not MR but another modality"),
        ({"Modality": ""}, "names no modality"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "not stored as images of MR"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ({"SeriesDescription": "localizer_3plane"}, "localiser"),
        ({"SeriesDescription": "AAHead_Scout"}, "localiser"),
        ({"BodyPartExamined": "CSPINE"}, "not of the head"),
        ({"BodyPartExamined": "", "SeriesDescription": "t1 sag c-spine"}, "not of the head"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived"),
        ({"SeriesDescription": "ep2d_diff_b1000_ADC"}, "diffusion"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, "diffusion"),
        ({"SeriesDescription": "SWI_Images"}, "susceptibility"),
        ({"SeriesDescription": "TOF_3D_multi-slab"}, "angiography"),
        ({"SeriesDescription": "t2_tse_tra"}, "T2, which the model was not measured on"),
        ({"RepetitionTime": "4000", "EchoTime": "100"}, "T2"),
        ({"RepetitionTime": None, "EchoTime": None}, "does not tell"),
    ],
)
def test_what_it_cannot_read_is_left_out_with_the_reason(values, reason):
    choice = choose(header(**values))
    assert not choice.read
    assert reason in choice.reason


def frames(shared: dict, first: dict, **values) -> Dataset:
    """The header of a file of frames: its times and its kind stand in functional groups."""

    def item(**elements) -> Dataset:
        made, group = Dataset(), Dataset()
        for keyword, value in elements.items():
            setattr(group, keyword, value)
        made.MREchoSequence = [group]
        return made

    of_all = {"SOPClassUID": EnhancedMRImageStorage, "RepetitionTime": None, "EchoTime": None}
    return header(
        **of_all,
        SharedFunctionalGroupsSequence=[item(**shared)],
        PerFrameFunctionalGroupsSequence=[item(**first)],
        **values,
    )


T1 = {"RepetitionTime": 500, "EffectiveEchoTime": 9.0}


@pytest.mark.parametrize(
    ("made", "read", "sequence", "reason"),
    [
        (frames(T1, {}), True, "t1", "T1"),
        (frames({"RepetitionTime": 500}, {"EffectiveEchoTime": 9.0}), True, "t1", "T1"),
        (frames(T1, {}, SeriesDescription="t1_tse_post_KM"), True, "t1ce", "T1 after contrast"),
        (frames({"RepetitionTime": 4000, "EffectiveEchoTime": 100.0}, {}), False, "t2", "T2, which"),
        (frames(T1, {"FrameType": ["ORIGINAL", "PRIMARY", "PHASE MAP"]}), False, "", "a phase map"),
        (frames(T1, {"FrameType": ["DERIVED", "PRIMARY", "MPR"]}), False, "", "derived"),
    ],
)
def test_a_file_of_frames_is_judged_by_its_groups_too(made, read, sequence, reason):
    choice = choose(made)
    assert (choice.read, choice.sequence) == (read, sequence)
    assert reason in choice.reason


class Held:
    """An archive with series of MR, whose headers it sends, or fails to."""

    def __init__(self, **headers):
        self.headers = headers

    def series(self, study):
        return [SeriesEntry(study, "1.2", "1", "MR", name, None) for name in self.headers]

    def header(self, entry):
        answer = self.headers[entry.description]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_series_that_cannot_be_opened_says_so_beside_the_others():
    held = Held(t1=header())
    odd = SeriesEntry("1.1", "", "2", "MR", "t1", None, "No UID.")
    held.series = lambda study: [odd, SeriesEntry(study, "1.2", "1", "MR", "t1", None)]
    (entry, first), (_, second) = choices_of(held, "1.1")
    assert (entry, first.read, first.reason) == (odd, False, "No UID.")
    assert second.read


@pytest.mark.parametrize("error", [PacsError("It could not send 1."), UnreadableScan("It is damaged.")])
def test_a_series_without_a_header_keeps_no_other_from_being_read(error):
    """Such as one of spectroscopy, of which no instance can be had by C-GET."""
    (_, first), (_, second) = choices_of(Held(spectra=error, t1=header()), "1.1")
    assert (first.read, first.reason) == (False, "the archive does not send its header")
    assert second.read
    with pytest.raises(PacsError, match=str(error)):
        choices_of(Held(spectra=error), "1.1")


def test_an_archive_that_hangs_is_not_asked_for_the_next_series():
    """Each would be waited for as long."""
    asked = []

    class Hanging(Held):
        def header(self, entry):
            asked.append(entry)
            raise NoAnswer("It does not answer in time.")

    with pytest.raises(PacsError, match="in time"):
        choices_of(Hanging(t1=None, flair=None), "1.1")
    assert len(asked) == 1
