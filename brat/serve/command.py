"""`brat serve`: the HTTP API in a process of its own."""

from __future__ import annotations

import argparse
import ipaddress
import os
from functools import partial
from pathlib import Path

from brat import log, metrics


def serve(options: argparse.Namespace) -> int:
    """Serve until the process is asked to end.

    Raises:
        ValueError: there are no keys, and others than this computer could ask.
    """
    import uvicorn

    from brat.serve.app import make_app
    from brat.serve.protocol import Protocol

    file = options.keys or (Path(os.environ["BRAT_API_KEYS"]) if os.environ.get("BRAT_API_KEYS") else None)
    keys = read_keys(file) if file else []
    if not keys and not _is_loopback(options.address):
        raise ValueError(
            f"At {options.address} everybody in the network could ask. Name a file of keys with --keys, or "
            "serve this computer alone, at 127.0.0.1."
        )
    log.start("serve")
    metrics.start(partial(metrics.read_a_sample, options.weights))
    # Its access log would name files and addresses.
    uvicorn.run(
        make_app(keys, options.weights),
        host=options.address,
        port=options.port,
        root_path=options.root_path,
        log_level="warning",
        access_log=False,
        http=Protocol,
    )
    return 0


def read_keys(file: Path) -> list[str]:
    """The keys in a file, one a line; what follows # is a remark.

    Raises:
        ValueError: there is none, or one is too short to be safe.
        OSError: the file cannot be read.
    """
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    keys = [line for line in lines if line]
    if not keys or any(len(key) < 20 for key in keys):
        raise ValueError(
            f"{file} must hold keys of 20 characters or more, one a line: `openssl rand -hex 32`."
        )
    return keys


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
