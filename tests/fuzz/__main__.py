"""Damage files at random for some minutes. Each must end in a reading or in a sentence, in time.

Fails where an error is raised that the program does not foresee, or where a file takes longer than it may.
The file that did it is written to the folder given as `--keep`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from brat.io import door, workers
from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.scan import UnreadableScan
from brat.io.series import Series
from tests.fuzz.corpus import corpus

_NUMBERS = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
    b"\0\0\0\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)


def damaged(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """The file with a few bits, bytes, numbers or pieces changed."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Headers are where most can be broken.
        end = len(changed) if rng.random() < 0.5 else min(len(changed), 1024)
        at = rng.randrange(max(end, 1))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << rng.randrange(8)]) if changed else b""
            case 1:
                number = rng.choice(_NUMBERS)
                changed[at : at + len(number)] = number
            case 2:
                del changed[at : at + rng.choice((1, 4, 64, len(changed)))]
            case 3:
                changed[at:at] = changed[at : at + rng.choice((4, 64, 1024))] * rng.choice((1, 2, 50))
            case 4:
                changed[at : at + 8] = rng.randbytes(8)
            case _:
                other = rng.choice(others)
                begin = rng.randrange(len(other))
                changed[at : at + 32] = other[begin : begin + 32]
        if not changed:
            break
    return bytes(changed)


def outcome(name: str, data: bytes) -> str:
    """What became of a file: "read", "refused", "stopped", or "unforeseen" and the error.

    A series is opened, and its first, middle and last slice is decoded.
    """
    result = "read"
    for item in group_into_series([File(name, data)])[:4]:
        try:
            opened = load(item)
            if isinstance(opened, Series):
                stack = opened.stack()
                for number in {0, len(stack) // 2, len(stack) - 1}:
                    stack[number]
        except workers.Stopped as error:
            if isinstance(error.__cause__, door._Refused):
                return f"unforeseen {error.__cause__}"
            result = "stopped"
        except UnreadableScan:
            result = "refused"
        # What this looks for.
        except Exception as error:
            return f"unforeseen {type(error).__name__}"
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=None, help="draws the same files again")
    parser.add_argument("--keep", type=Path, default=None, help="folder for files that fail")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    rng = random.Random(seed)
    files = corpus()
    names, contents = list(files), list(files.values())
    outcomes: Counter[str] = Counter()
    slowest, failed = 0.0, 0
    limit = 2 * workers.SECONDS + 2
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end:
        name = rng.choice(names)
        data = damaged(files[name], rng, contents)
        begun = time.monotonic()
        what = outcome(name, data)
        seconds = time.monotonic() - begun
        slowest = max(slowest, seconds)
        outcomes[what.split()[0]] += 1
        if what.startswith("unforeseen") or seconds > limit:
            failed += 1
            print(f"{name}, file {sum(outcomes.values())} of seed {seed}: {what}, {seconds:.1f} s")
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{seed}-{sum(outcomes.values())}-{name}").write_bytes(data)
    listed = ", ".join(f"{count:,} {what}" for what, count in sorted(outcomes.items()))
    print(f"{sum(outcomes.values()):,} files of seed {seed}: {listed}; the slowest took {slowest:.1f} s.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
