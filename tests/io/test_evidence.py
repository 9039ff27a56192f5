"""The header is evidence: no MR is refused, and what speaks against a picture is said."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from brat.io.evidence import guess_scanner, guess_sequence, is_scanner
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.scan import UnreadableScan
from tests.factories.files import slice_of

DESCRIBED = {
    "t1": "T1 SE ax; t1_se_tra; AX T1 FLAIR; MPRAGE sag; t1 pre contrast; T1W_3D_TFE; SAG BRAVO; T1 ohne KM; "
    "ax t1 w/o; post-op T1; eT1W_SE",
    "t1ce": "T1 +C; t1_mprage_sag_p2_iso GD; AX T1 POST; T1 post contrast; T1 KM; t1ce; T1 C+; Ax T1 Gad fs; "
    "T1-Gd; pre-op T1 +C",
    "t2": "T2 TSE; AX T2 FSE; t2_tse_tra_p2_448; T2W_TSE; Sag T2",
    "flair": "FLAIR; t2_tirm_tra_dark-fluid; AX FLAIR FS; T2 FLAIR; 3D_FLAIR; FLAIR post contrast",
    "dwi": "ep2d_diff_3scan_trace; DWI b1000; DTI 32 dir; eDWI",
    "adc": "ADC (10^-6 mm²/s); Apparent Diffusion Coefficient; ep2d_diff_ADC",
    "swi": "SWI_Images; T2*; t2_fl2d_tra_hemo; SWAN; ax t2 star",
    "mra": "TOF_3D_multi-slab; MRA head; 3D TOF angio",
    "localizer": "localizer; 3-plane loc; SCOUT; AAHScout; Survey",
    "perfusion": "ep2d_perf; PWI MOCO; ASL 3D; relCBV; DSC",
    "pd": "PD TSE; ax proton density",
    "": "Series 4; brain; head routine; ",
}


def header(**elements) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("code", "description"), [(c, d.strip()) for c, all_ in DESCRIBED.items() for d in all_.split(";")]
)
@pytest.mark.filterwarnings("ignore")
def test_sequence_by_description(code, description):
    if description == "relCBV":
        description = "rel CBV"
    assert guess_sequence([header(SeriesDescription=description)]) == code


@pytest.mark.parametrize(
    ("code", "technique", "times"),
    [
        ("t1", "SE", (500, 12, None)),
        ("t1", ["GR", "IR"], (2000, 3, 900)),
        ("t1", "GR", (20, 4, None)),
        ("t1", ["SE", "IR"], (2200, 10, 800)),
        ("t2", "SE", (4000, 100, None)),
        ("pd", "SE", (2500, 20, None)),
        ("flair", ["SE", "IR"], (9000, 120, 2500)),
        ("swi", "GR", (700, 20, None)),
        ("", "EP", (4000, 90, None)),
        ("", "SE", (1500, 50, None)),
        ("", "RM", (None, None, None)),
    ],
)
def test_sequence_by_times(code, technique, times):
    repetition, echo, inversion = times
    of = header(ScanningSequence=technique, RepetitionTime=repetition, EchoTime=echo, InversionTime=inversion)
    assert guess_sequence([of]) == code
    of.ContrastBolusAgent = "11 ml Gadovist"
    assert guess_sequence([of]) == ("t1ce" if code == "t1" else code)
    of.ContrastBolusAgent = "NONE"
    assert guess_sequence([of]) == code


def test_times_of_functional_groups():
    group = header(RepetitionTime=9000, EffectiveEchoTime=120, InversionTimes=[2500])
    assert guess_sequence([header(SeriesDescription="x"), group]) == "flair"


def test_what_is_no_mr_is_refused_alone_and_as_a_series():
    for modality in ("CT", "PT", "US", "SEG", "DX"):
        with pytest.raises(UnreadableScan, match=f"no MR: its modality is {modality}"):
            read_scan(slice_of(0, Modality=modality))
    files = [File(str(number), slice_of(number, Modality="CT")) for number in range(3)]
    with pytest.raises(UnreadableScan, match="computed tomography"):
        load(group_into_series(files)[0])


def test_nothing_is_said_of_a_plain_slice_of_the_head():
    assert read_scan(slice_of(0)).remarks == ()
    for part in ("HEAD", "BRAIN", "SCHAEDEL", "CRANIO", "HEADNECK", "CERVEAU", "UNKNOWN", ""):
        assert read_scan(slice_of(0, BodyPartExamined=part)).remarks == ()
    for words in ("MR BRAIN AND C-SPINE", "Kopf", "Charm study", "MR routine"):
        assert read_scan(slice_of(0, StudyDescription=words)).remarks == ()


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": "RTDOSE"},
        {"Modality": "ct"},
        {"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
        {"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"},
        {"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_no_mr_is_known_by_its_class_and_in_any_case(elements):
    with pytest.raises(UnreadableScan, match="this is no MR"):
        read_scan(slice_of(0, **elements))


def test_modality_that_is_missing_is_that_of_the_class():
    scan = read_scan(slice_of(0, Modality=None))
    assert (scan.modality, scan.remarks) == ("MR", ())


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"Modality": "OT"}, "does not say that this is MR: its modality is OT"),
        (
            {"SeriesDescription": "t2_tse_tra"},
            "T2: the model was measured on slices of it without a tumour only",
        ),
        ({"Modality": "JANE DOE", "SOPClassUID": "1.2.3"}, "it names no modality that is known here"),
        ({"SeriesDescription": "sag knee"}, "shows a knee"),
        ({"StudyDescription": "MR C-SPINE"}, "shows the spine"),
        ({"BodyPartExamined": "UNKNOWN", "StudyDescription": "Lumbar Spine"}, "shows the spine"),
        ({"ComplexImageComponent": "PHASE"}, "a phase map"),
        ({"BodyPartExamined": "LSPINE"}, "shows the spine"),
        ({"BodyPartExamined": "KNEE"}, "shows a knee"),
        ({"BodyPartExamined": "JANE DOE"}, "a part of the body that is not known here"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "a phase map"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "a mosaic of many slices"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, "a projection of many slices"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived from others"),
        ({"SeriesDescription": "ep2d_diff"}, "diffusion, which the model was not measured on"),
        ({"BurnedInAnnotation": "YES"}, "text is burned into this picture"),
    ],
)
def test_what_speaks_against_a_picture_is_said(elements, said):
    scan = read_scan(slice_of(0, **elements))
    assert len(scan.remarks) == 1
    assert said in scan.remarks[0]
    assert "JANE" not in scan.remarks[0]
    files = [File(str(number), slice_of(number, **elements)) for number in range(3)]
    assert load(group_into_series(files)[0]).remarks == scan.remarks


def test_sequence_is_kept_with_the_scan_and_in_its_format():
    scan = read_scan(slice_of(0, SeriesDescription="AX FLAIR JANE DOE"))
    assert (scan.sequence, scan.format) == ("flair", "DICOM MR, 12-bit, FLAIR")
    series = load(
        group_into_series([File(str(n), slice_of(n, SeriesDescription="t1 gd")) for n in range(3)])[0]
    )
    assert series.format == "DICOM MR, 12-bit, T1 after contrast, 3 slices"


@pytest.mark.parametrize(
    ("elements", "scanner"),
    [
        (
            {"Manufacturer": "SIEMENS", "ManufacturerModelName": "Skyra", "MagneticFieldStrength": 3},
            "Siemens Skyra 3 T",
        ),
        ({"Manufacturer": "Siemens Healthineers", "ManufacturerModelName": "MAGNETOM Vida"}, "Siemens Vida"),
        (
            {"Manufacturer": "GE MEDICAL SYSTEMS", "ManufacturerModelName": "SIGNA Architect"},
            "GE Architect",
        ),
        # Gauss, and what a magnet is measured to have.
        ({"Manufacturer": "Philips Medical Systems", "MagneticFieldStrength": 15000}, "Philips 1.5 T"),
        (
            {"Manufacturer": "UIH", "ManufacturerModelName": "uMR 780", "MagneticFieldStrength": 2.89},
            "United Imaging uMR 3 T",
        ),
        ({"Manufacturer": "SIEMENS", "MagneticFieldStrength": 2}, "Siemens"),
        ({"Manufacturer": "SIEMENS", "ManufacturerModelName": "Jane^Doe", "StationName": "Doe"}, "Siemens"),
        ({"Manufacturer": "Jane Doe", "ManufacturerModelName": "Skyra", "MagneticFieldStrength": 3}, ""),
        ({"Manufacturer": "AGENT", "MagneticFieldStrength": 3}, ""),
        ({}, ""),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_scanner_is_told_by_known_words_alone(elements, scanner):
    assert guess_scanner(header(**elements)) == scanner
    assert is_scanner(scanner)


@pytest.mark.parametrize(
    "words", ["Siemens Doe 3 T", "Siemens 2 T", "GE Skyra", "Esaote Doe", "Doe", "Siemens "]
)
def test_other_words_are_no_scanner(words):
    assert not is_scanner(words)
