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
"""The metadata of a series that is coming, or is to be handed over, so that a restart forgets none."""

_METADATA = 3307
"""Its number among those that Orthanc leaves to users (1024 to 65535)."""

_lock = threading.Lock()
"""Held where a mark and what is known here of its series change together."""

_left = {}
"""Of each series that is to be handed over how often it has become stable: what comes while it is handed over
is to be handed over, too. An archive has far too many series to look through them every minute."""

_sending = set()
"""The series that are being handed over, each by one thread."""


def send(series):
    """Hand a series over, or leave it for the next time, where the router does not take it now."""
    with _lock:
        if series in _sending:
            return
        _sending.add(series)
    modality = json.loads(orthanc.GetConfiguration()).get("Brat", {}).get("SendTo", "brat")
    try:
        while came_again(series, modality):
            pass
    finally:
        with _lock:
            _sending.discard(series)


def came_again(series, modality):
    """Hand a series over. Returns whether it has become stable once more meanwhile."""
    count = _left.get(series)
    try:
        orthanc.RestApiPost(f"/modalities/{modality}/store", json.dumps({"Resources": [series]}))
    except orthanc.OrthancException as error:
        orthanc.LogWarning(f"brat: a series could not be handed over, and is tried again: {error}")
        return False
    with _lock:
        if _left.get(series) != count:
            return True
        _left.pop(series, None)
        _sending.discard(series)
        # It was deleted meanwhile.
        with contextlib.suppress(orthanc.OrthancException):
            orthanc.RestApiDelete(f"/series/{series}/metadata/{_METADATA}")
    return False


def on_change(change, level, resource):
    if change in (orthanc.ChangeType.NEW_SERIES, orthanc.ChangeType.STABLE_SERIES):
        modality = json.loads(orthanc.RestApiGet(f"/series/{resource}"))["MainDicomTags"].get("Modality")
        # What the router returns is no MR, and does not come round again.
        if modality != "MR":
            return
        with _lock:
            # A series that is still coming when Orthanc ends is never said to be stable.
            orthanc.RestApiPut(f"/series/{resource}/metadata/{_METADATA}", _PENDING)
            if change == orthanc.ChangeType.NEW_SERIES:
                return
            _left[resource] = _left.get(resource, 0) + 1
        # Orthanc waits for this function, and the router may not be there.
        threading.Thread(target=send, args=(resource,), daemon=True).start()
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        threading.Thread(target=start, daemon=True).start()


def start():
    """Find what is left from before, and try it again every minute."""
    for series in json.loads(orthanc.RestApiGet("/series")):
        # It was deleted meanwhile.
        with contextlib.suppress(orthanc.OrthancException):
            if str(_METADATA) in json.loads(orthanc.RestApiGet(f"/series/{series}/metadata?numeric")):
                _left.setdefault(series, 0)
    again()


def again():
    """Hand over what is left, now and every minute."""
    for series in sorted(_left):
        try:
            orthanc.RestApiGet(f"/series/{series}")
        except orthanc.OrthancException:
            # It was deleted.
            _left.pop(series, None)
        else:
            send(series)
    timer = threading.Timer(_RETRY, again)
    timer.daemon = True
    timer.start()


orthanc.RegisterOnChangeCallback(on_change)
