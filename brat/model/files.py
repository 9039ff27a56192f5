"""The files of a model's folder, each checked against the folder's manifest before it is used.

`manifest.json` holds size and SHA-256 of every file that a reading needs, and a checksum of what it says
itself. A damaged, exchanged or missing file is an error: a reading by half a model, or by parts of two, looks
like any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from brat.environment import model_file

MANIFEST = "manifest.json"

MODEL, KERAS = "model.tflite", "model.keras"
CALIBRATION, DETECTOR = "calibration.json", "out_of_distribution.npz"

TRAINED_ON = "trained_on.npy"
"""Hashes of the slices that the model was trained on, see `brat.data.near_duplicates.hashes`."""

FILES = (MODEL, KERAS, CALIBRATION, DETECTOR, TRAINED_ON)
"""All that a manifest may hold. Of these a folder may lack what its model does not have yet."""


class ModelError(RuntimeError):
    """A model's folder must not be used as it is; the message is written for whoever runs it."""


class FileRecord(NamedTuple):
    """What the manifest says of a file.

    Attributes:
        sha256: hexadecimal.
        bytes: its size.
    """

    sha256: str
    bytes: int


class ModelFolder:
    """A folder with its manifest, which is read once.

    Example:
        >>> content = ModelFolder("weights").read("model.tflite")
    """

    def __init__(self, path: str | Path):
        """Read the manifest.

        Raises:
            FileNotFoundError: there is no model in the folder, nor a manifest.
            ModelError: there is a model but no manifest, or the manifest is damaged.
        """
        self.path = Path(path)
        if not (self.path / MANIFEST).is_file():
            model_file(self.path, MODEL)
            raise ModelError(
                f"There is no {MANIFEST} in {self.path}, so that nobody can tell whether its files are whole "
                "and belong together. Copy the whole folder again. If you trained it before there were "
                f"manifests, `brat manifest {self.path}` writes one."
            )
        self.records = _parsed((self.path / MANIFEST).read_bytes(), self.path)

    def read(self, name: str) -> bytes:
        """The content of a file of `FILES`, read once: what was checked is what is returned.

        Raises:
            FileNotFoundError: the folder neither has the file nor should have it.
            ModelError: the file is not the one of the manifest, is missing, or is not in the manifest.
        """
        record = self.records.get(name)
        if record is None:
            model_file(self.path, name)
            raise ModelError(
                f"{name} in {self.path} is not in its {MANIFEST}: it does not belong to this model. "
                "Remove it, or copy the whole folder again."
            )
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise ModelError(
                f"{name} is missing in {self.path}: its {MANIFEST} lists it. Copy the whole folder again."
            ) from error
        if FileRecord(hashlib.sha256(content).hexdigest(), len(content)) != record:
            raise ModelError(
                f"{name} in {self.path} is damaged, or belongs to another model: it is not the file that "
                f"{MANIFEST} lists. Copy the whole folder again."
            )
        return content

    def read_optional(self, name: str) -> bytes | None:
        """As `read`; None where the folder neither has the file nor should have it."""
        if name not in self.records and not (self.path / name).exists():
            return None
        return self.read(name)


def write_manifest(folder: str | Path, names: Iterable[str]) -> None:
    """Write the manifest of a folder from the files that are in it now.

    Args:
        names: of `FILES`; whatever else the folder holds is not part of the model.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    _write(Path(folder), {name: _record_of(Path(folder) / name) for name in names})


def update_manifest(folder: ModelFolder, names: Iterable[str]) -> None:
    """Write the manifest again after some files were written; what it says of the others stays."""
    _write(folder.path, folder.records | {name: _record_of(folder.path / name) for name in names})


def adopt(folder: str | Path) -> list[str]:
    """Write the manifest of a folder that has none; returns the names in it.

    Raises:
        FileNotFoundError: there is no model in the folder.
        ModelError: it has a manifest already, or its model card gives another hash for a file.
    """
    folder = Path(folder)
    if (folder / MANIFEST).exists():
        raise ModelError(f"{folder} has a {MANIFEST} already. Nothing was written.")
    model_file(folder, MODEL)
    names = [name for name in FILES if (folder / name).is_file()]
    records = {name: _record_of(folder / name) for name in names}
    card = folder / "model_card.json"
    content = json.loads(card.read_text(encoding="utf-8")) if card.exists() else {}
    for name, record in records.items():
        if name in content and content[name]["sha256"] != record.sha256:
            raise ModelError(
                f"{name} in {folder} is not the file that {card.name} lists. Nothing was written."
            )
    _write(folder, records)
    return names


def _record_of(path: Path) -> FileRecord:
    content = path.read_bytes()
    return FileRecord(hashlib.sha256(content).hexdigest(), len(content))


def _write(folder: Path, records: dict[str, FileRecord]) -> None:
    ordered = {name: records[name]._asdict() for name in FILES if name in records}
    (folder / MANIFEST).write_text(json.dumps(_with_checksum(ordered), indent=1) + "\n", encoding="utf-8")


def _with_checksum(files: Mapping) -> dict[str, Any]:
    return {"files": files, "sha256": checksum(files)}


def checksum(content: Mapping) -> str:
    """SHA-256 of what can be written as JSON, hexadecimal; the order of its keys does not matter."""
    # As it is read back: keys of JSON are text.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _parsed(content: bytes, folder: Path) -> dict[str, FileRecord]:
    """The records. Strict, as a name or a key that is one letter off would else drop a check.

    The checksum is for the records of files that a reading does not need: nothing else would find one
    damaged. Manifests of before it have none.
    """
    try:
        manifest = json.loads(content)
        records = {name: FileRecord(**record) for name, record in manifest["files"].items()}
        is_sound = manifest in ({"files": manifest["files"]}, _with_checksum(manifest["files"])) and all(
            name in FILES
            and isinstance(record.sha256, str)
            and re.fullmatch("[0-9a-f]{64}", record.sha256)
            and isinstance(record.bytes, int)
            for name, record in records.items()
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged_manifest(folder) from error
    if not is_sound:
        raise _damaged_manifest(folder)
    return records


def _damaged_manifest(folder: Path) -> ModelError:
    return ModelError(f"The {MANIFEST} in {folder} is damaged. Copy the whole folder again.")
