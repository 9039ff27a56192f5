"""Read a file through the HTTP API, with the standard library alone.

    python client.py http://127.0.0.1:8600 scan.dcm KEY

The same with curl:

    curl -H "Authorization: Bearer KEY" -F file=@scan.dcm "http://127.0.0.1:8600/api/v1/readings?report=true"
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def read(server: str, file: str, key: str = "") -> dict:
    """What the server reads in a file. Raises ValueError with its sentence where it refuses."""
    request = urllib.request.Request(
        f"{server}/api/v1/readings",
        data=Path(file).read_bytes(),
        headers={"Content-Type": "application/octet-stream", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["detail"]) from error


if __name__ == "__main__":
    for reading in read(*sys.argv[1:])["readings"]:
        print(json.dumps(reading, indent=2))
