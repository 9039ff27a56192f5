"""A plugin for Orthanc: each MR series that is stable goes to the router, which returns report and maps.

Orthanc's Python plugin (Debian: orthanc-python) loads it where its configuration says

    "PythonScript": "/etc/brat/orthanc_plugin.py",
    "DicomModalities": {"brat": ["BRATUM", "router", 11112]},
    "Brat": {"SendTo": "brat"}

Nothing is chosen here but MR: the router chooses by header, says why it leaves a series out, and keeps its
queue on disk. A series that could not be handed over is tried again, also after a restart of Orthanc.
"""

import contextlib
import json
import threading

import orthanc

_RETRY = 60.0
"""Seconds until what could not be handed over is tried again."""

_PENDING = "brat"
"""The metadata of a series that says that it is to be handed over, so that a restart forgets none."""

_METADATA = 3307
"""Its number among those that Orthanc leaves to users (1024 to 65535)."""

_left = set()
"""The series that are to be handed over. An archive has far too many to look through them every minute."""


def send(series):
    """Hand a series over, or leave it for the next time, where the router does not take it now."""
    modality = json.loads(orthanc.GetConfiguration()).get("Brat", {}).get("SendTo", "brat")
    try:
        orthanc.RestApiPost(f"/modalities/{modality}/store", json.dumps({"Resources": [series]}))
    except orthanc.OrthancException as error:
        orthanc.LogWarning(f"brat: a series could not be handed over, and is tried again: {error}")
        return
    _left.discard(series)
    # It was deleted meanwhile, or handed over twice.
    with contextlib.suppress(orthanc.OrthancException):
        orthanc.RestApiDelete(f"/series/{series}/metadata/{_METADATA}")


def on_change(change, level, resource):
    if change == orthanc.ChangeType.STABLE_SERIES:
        modality = json.loads(orthanc.RestApiGet(f"/series/{resource}"))["MainDicomTags"].get("Modality")
        # What the router returns is no MR, and does not come round again.
        if modality == "MR":
            orthanc.RestApiPut(f"/series/{resource}/metadata/{_METADATA}", _PENDING)
            _left.add(resource)
            # Orthanc waits for this function, and the router may not be there.
            threading.Thread(target=send, args=(resource,), daemon=True).start()
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        threading.Thread(target=start, daemon=True).start()


def start():
    """Find what is left from before, and try it again every minute."""
    for series in json.loads(orthanc.RestApiGet("/series")):
        if str(_METADATA) in json.loads(orthanc.RestApiGet(f"/series/{series}/metadata?numeric")):
            _left.add(series)
    again()


def again():
    """Hand over what is left, now and every minute."""
    for series in sorted(_left):
        try:
            orthanc.RestApiGet(f"/series/{series}")
        except orthanc.OrthancException:
            # It was deleted.
            _left.discard(series)
        else:
            send(series)
    timer = threading.Timer(_RETRY, again)
    timer.daemon = True
    timer.start()


orthanc.RegisterOnChangeCallback(on_change)
