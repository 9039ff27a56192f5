"""A site's recalibration: temperature, thresholds and limit of a model, fitted to the site's own slices.

It is a file beside the model, `SITE`, which is no part of it: it names the files that it was fitted to, and
holds its own checksum. What is damaged, or was fitted to another model, is an error.
`brat.evaluation.site` writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from brat.model.calibration import Calibration
from brat.model.files import DETECTOR, MODEL, ModelError, ModelFolder, checksum

SITE = "site_calibration.json"

_REMOVE = "Remove it, or write it again with `brat validate --apply`."
_DAMAGED = f"{SITE} is damaged: it is not as `brat validate` wrote it. {_REMOVE}"


@dataclass(frozen=True)
class SiteCalibration:
    """What replaces a part of a model's calibration at a site.

    Attributes:
        site: what the site is called; may be empty.
        slices: number of slices that it was fitted to.
        clusters: of how many patients or files, see `by`.
        by: "patient" or "file".
        fitted: time of fitting, ISO 8601.
        fitted_to: name of a file of the model -> its SHA-256, hexadecimal.
        calibration: instead of the model's own; None where that stays.
        limit: of the out-of-distribution check, see `OodDetector.limit`; None where the model's own stays.
    """

    site: str
    slices: int
    clusters: int
    by: str
    fitted: str
    fitted_to: Mapping[str, str]
    calibration: Calibration | None
    limit: float | None

    def __str__(self) -> str:
        """For people: "recalibrated for St. Elsewhere on 412 slices, 2026-11-27"."""
        return f"recalibrated for {self.site or 'this site'} on {self.slices:,} slices, {self.fitted[:10]}"

    @property
    def digest(self) -> str:
        """SHA-256 of what it says, hexadecimal: its own checksum, which stands in its file as `sha256`."""
        return checksum(asdict(self))

    def to_bytes(self) -> bytes:
        """The content of its file."""
        return (json.dumps({**asdict(self), "sha256": self.digest}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> SiteCalibration:
        """Read what `to_bytes` wrote.

        Raises:
            ModelError: it is no such content, was changed, or a number is out of range.
        """
        try:
            stored = json.loads(content)
            digest = stored.pop("sha256")
            calibration = stored["calibration"]
            site = cls(
                **{
                    **stored,
                    "calibration": calibration and Calibration.from_bytes(json.dumps(calibration).encode()),
                }
            )
            is_sound = (
                set(stored) == {field.name for field in fields(cls)}
                and digest == checksum(stored)
                and all(isinstance(text, str) for text in (site.site, site.by, site.fitted))
                and (site.limit is None or math.isfinite(site.limit))
            )
        except (ValueError, TypeError, KeyError, AttributeError, ModelError) as error:
            raise ModelError(_DAMAGED) from error
        if not is_sound:
            raise ModelError(_DAMAGED)
        return site

    @classmethod
    def beside(cls, folder: ModelFolder) -> SiteCalibration | None:
        """The recalibration that lies beside a model; None where there is none.

        Raises:
            ModelError: it is damaged, or was fitted to another model.
        """
        try:
            content = (folder.path / SITE).read_bytes()
        except FileNotFoundError:
            return None
        site = cls.from_bytes(content)
        if dict(site.fitted_to) != fitted_to(folder):
            raise ModelError(
                f"{SITE} in {folder.path} was fitted to another model, or to other files of this one. "
                f"{_REMOVE}"
            )
        return site


def fitted_to(folder: ModelFolder) -> dict[str, str]:
    """The files of a model on which a recalibration depends, with their SHA-256."""
    return {name: folder.records[name].sha256 for name in (MODEL, DETECTOR) if name in folder.records}
