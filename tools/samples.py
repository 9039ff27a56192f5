"""The command that writes the samples: slices of held-out patients, a series of one, and healthy heads.

    python -m tools.samples --data INDEX.csv [--weights DIR] [--ch2 PATH] [--out DIR]

Run it again for each model that ships: one sample, and what the titles say, follow from what it reads wrong.
The patients' slices are copied as the index has them, those of the series into one file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, MultiFrameGrayscaleByteSecondaryCaptureImageStorage, generate_uid

from brat.classes import CLASS_NAMES
from brat.data.held_out import HELD_OUT
from brat.data.index import IndexedSlice, read_index
from brat.environment import WEIGHTS
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.samples import FOLDER
from brat.io.series import Series
from brat.model.reader import Reader, Reading
from tools import phantoms

SHOWN = (
    ("figshare-gln-03", "sagittal"),
    ("figshare-gln-06", "coronal"),
    ("figshare-men-07", "axial"),
    ("figshare-men-57", "sagittal"),
    ("figshare-pita-13", "axial"),
    ("figshare-pita-03", "coronal"),
)
"""Patient and plane, two a class. The slice whose boxes cover most is shown, whatever a model reads in it."""

WRONG_FROM = (
    "figshare-men-47",  # a meningioma that the model of its fold reads as a glioma
    *(group for group in HELD_OUT if group != "figshare-men-47"),
)
"""Where the slice that is read wrong is looked for, in this order."""

PLANES = {
    "axial": ((175, 179), (976, 979), (1013, 1014), (1021, 1024)),
    "coronal": ((405, 407), (799, 806), (809, 811), (1107, 1111), (1151, 1153), (1161, 1165)),
    "sagittal": (
        (452, 458),
        (490, 494),
        (664, 667),
        (870, 880),
        (888, 894),
        (1230, 1232),
        (1270, 1272),
        (1279, 1280),
    ),
}
"""First and last number of the held-out patients' slices by plane, as seen; the collection does not say."""

SERIES = ("figshare-gln-06", "sagittal", range(873, 880))
"""Patient, plane, and the numbers of slices that lie side by side in this order, as seen. The collection says
neither an order nor a distance."""

ORIGIN = "J. Cheng, brain tumor dataset, figshare, doi:10.6084/m9.figshare.1512427; T1 after contrast"
LICENCE = "CC BY 4.0; see LICENCES.md"

THUMBNAIL = 300
"""Pixels, the longer side; twice what pages show."""

Read = Callable[[IndexedSlice], Reading]


def held_out_slices(index: Path) -> list[IndexedSlice]:
    """The figshare slices of the held-out patients.

    Raises:
        ValueError: the index lacks one of the patients.
    """
    slices = [s for s in read_index(index) if s.source == "figshare" and s.group in HELD_OUT]
    if missing := set(HELD_OUT) - {s.group for s in slices}:
        raise ValueError(f"{index} has no slices of {', '.join(sorted(missing))}.")
    return slices


def plane_of(one: IndexedSlice) -> str:
    number = int(Path(one.file).stem)
    for plane, runs in PLANES.items():
        if any(first <= number <= last for first, last in runs):
            return plane
    raise ValueError(f"The plane of {one.file} is not known. Look at it, and add it to PLANES.")


def largest(slices: Sequence[IndexedSlice], group: str, plane: str) -> IndexedSlice:
    """The patient's slice in a plane whose boxes cover most of the picture."""
    of_patient = [s for s in slices if s.group == group and plane_of(s) == plane]
    return max(of_patient, key=lambda s: sum(width * height for *_, width, height in s.boxes))


def in_series(slices: Sequence[IndexedSlice]) -> list[IndexedSlice]:
    """The slices of `SERIES`, in order."""
    patient, plane, numbers = SERIES
    of_patient = {int(Path(s.file).stem): s for s in slices if s.group == patient and plane_of(s) == plane}
    return [of_patient[number] for number in numbers]


def write_series(file: Path, slices: Sequence[IndexedSlice]) -> dict[str, object]:
    """Write slices as one DICOM file, a frame for each, which holds the JPEG files of the index as they are.

    It says no positions, for the collection has none.

    Returns:
        Its entry of `samples.json`.
    """
    first, plane = slices[0], plane_of(slices[0])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "image"])
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset = FileDataset(str(file), Dataset(), file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "series"])
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Modality, dataset.ConversionType = "MR", "WSD"
    dataset.PatientName = "figshare 1512427^Held out"
    dataset.PatientID = first.group
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Published without names and dates"
    dataset.BurnedInAnnotation = "NO"
    dataset.SeriesDescription = f"T1 after contrast, {plane}"
    dataset.DerivationDescription = f"Slices of {ORIGIN}"
    # The standard wants these present; there is nothing to say in them.
    for keyword in (
        *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "Manufacturer", "Laterality", "PatientOrientation"),
    ):
        setattr(dataset, keyword, None)
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    shape = read_scan(first.path).gray.shape
    dataset.Rows, dataset.Columns = shape
    dataset.NumberOfFrames = len(slices)
    dataset.FrameIncrementPointer = Tag("PageNumberVector")
    dataset.PageNumberVector = list(range(1, len(slices) + 1))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    frames = [one.path.read_bytes() for one in slices]
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    raw = shape[0] * shape[1] * len(frames)
    dataset.LossyImageCompressionRatio = round(raw / sum(map(len, frames)), 1)
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "US"
    # PS3.3 C.11.2.1.2: this centre and width show every value as it is.
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = encapsulate(frames)
    dataset.save_as(file, enforce_file_format=True)
    return {
        "name": file.stem,
        "title": f"{CLASS_NAMES[first.label]}, series of {plane} slices",
        "file": file.name,
        "label": first.label,
        "patient": first.group,
        "plane": plane,
        "source": ", ".join(one.file for one in slices),
        "origin": ORIGIN,
        "licence": LICENCE,
        "is_read_wrong": False,
        "is_series": True,
    }


def is_read_wrong(label: str, reading: Reading) -> bool:
    """Whether the model lets a slice through and gives another answer than `label`, the radiologists'."""
    refused = reading.ood is not None and not reading.ood.in_distribution
    return not refused and reading.prediction.label != label


def pick_wrong(slices: Sequence[IndexedSlice], read: Read) -> IndexedSlice | None:
    """The surest wrong answer about the first patient of `WRONG_FROM` of whom there is one."""
    for group in WRONG_FROM:
        readings = [(one, read(one)) for one in slices if one.group == group]
        wrong = [pair for pair in readings if is_read_wrong(pair[0].label, pair[1])]
        if wrong:
            return max(wrong, key=lambda pair: pair[1].prediction.confidence)[0]
    return None


def entry(name: str, one: IndexedSlice, reading: Reading) -> dict[str, object]:
    """An entry of `samples.json`."""
    plane, is_wrong = plane_of(one), is_read_wrong(one.label, reading)
    return {
        "name": name,
        "title": f"{CLASS_NAMES[one.label]}, {plane}" + (", read wrong" if is_wrong else ""),
        "file": name + one.path.suffix,
        "label": one.label,
        "patient": one.group,
        "plane": plane,
        "source": one.file,
        "origin": ORIGIN,
        "licence": LICENCE,
        "is_read_wrong": is_wrong,
        "is_series": False,
    }


def write(index: Path, weights: Path, folder: Path, ch2: Path) -> list[tuple[dict[str, object], Reading]]:
    """Write every sample and `samples.json`, and remove the samples that are no longer among them.

    Returns:
        The entries of the patients' slices, with their readings.
    """
    slices = held_out_slices(index)
    reader = Reader(weights)

    def read(one: IndexedSlice) -> Reading:
        return reader.read(read_scan(one.path).gray)

    shown = {f"{s.label}-{plane_of(s)}": s for s in (largest(slices, *wanted) for wanted in SHOWN)}
    wrong = pick_wrong(slices, read)
    if wrong and wrong not in shown.values():
        shown["read-wrong"] = wrong
    readings = [read(one) for one in shown.values()]
    of_patients = [entry(*named, reading) for named, reading in zip(shown.items(), readings, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / "samples.json"
    before = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else []
    for sample in before:
        (folder / sample["file"]).unlink(missing_ok=True)
    for one, sample in zip(shown.values(), of_patients, strict=True):
        (folder / str(sample["file"])).write_bytes(one.path.read_bytes())
    series = write_series(folder / "glioma-series.dcm", in_series(slices))
    entries = [*of_patients, series, *phantoms.make(folder, ch2)]
    listing.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_thumbnails(folder, entries)
    return list(zip(of_patients, readings, strict=True))


def write_thumbnails(folder: Path, entries: Sequence[dict[str, object]]) -> None:
    """Write a small picture of every sample, so that no page has to open them all."""
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir(exist_ok=True)
    for old in thumbnails.iterdir():
        old.unlink()
    for sample in entries:
        (item,) = group_into_series([File(str(sample["file"]), folder / str(sample["file"]))])
        opened = load(item)
        if isinstance(opened, Series):
            stack = opened.stack()
            opened = stack[len(stack) // 2]
        scale = THUMBNAIL / max(opened.gray.shape)
        small = cv2.resize(opened.gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(thumbnails / f"{sample['name']}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 85])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.samples", description="Write the samples.")
    parser.add_argument("--data", type=Path, required=True, help="index.csv of the training data")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the model (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: %(default)s)")
    parser.add_argument(
        "--ch2", type=Path, default=phantoms.CH2, help="MRIcron's ch2.nii.gz (default: %(default)s)"
    )
    options = parser.parse_args()
    written = write(options.data, options.weights, options.out, options.ch2)
    for sample, reading in written:
        refused = reading.ood is not None and not reading.ood.in_distribution
        answer = f"{reading.prediction.label} {reading.prediction.confidence:.2f}"
        print(f"{sample['title']} ({sample['source']}): {answer}{', refused' if refused else ''}")
    if not any(sample["is_read_wrong"] for sample, _ in written):
        print("The model reads none of the held-out slices wrong: no sample is labelled so.")


if __name__ == "__main__":
    main()
