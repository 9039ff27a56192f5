"""The HTTP API as an ASGI application, with its OpenAPI page at /api/docs, which asks no other server."""

import asyncio
import hashlib
import hmac
import io
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from brat import log
from brat.classes import CLASSES
from brat.environment import CORES, WEIGHTS
from brat.io.scan import UnreadableScan
from brat.io.workers import owner, pool
from brat.model.files import ModelError
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.reports.dicom import NoReference
from brat.serve.readings import Record, read_file, recalibration_of

MAX_BYTES = 200_000_000
"""Of one request's body; the app takes as much."""

WAITING = 4 * CORES
"""Requests that may be worked at or wait, half of them of one key. Further ones are told to come back, before
their body is read."""

ROOM = 4
"""How many bodies of the most bytes all requests may hold in memory together, half of them those of one
key."""

ARRIVING = 60.0
"""Seconds that the body of a request, which holds a place meanwhile, may be behind one that comes at the
slowest speed."""

SLOWEST = 50_000
"""Bytes a second: on a slow line 30 MB may take ten minutes."""

NOT_A_DEVICE = "Not a medical device: for teaching and research, nobody's diagnosis may depend on it."

_BUSY = "Too many requests at once. Try again in a few seconds."


def make_app(
    keys: Collection[str] = (),
    weights: str | Path = WEIGHTS,
    max_bytes: int = MAX_BYTES,
    waiting: int = WAITING,
) -> FastAPI:
    """The application.

    Args:
        keys: one of which a request must carry as a bearer token; none is asked for where this is empty.
        weights: the folder of the model.
        max_bytes: of a request's body.
        waiting: requests that are taken at once.
    """
    readers = Readers(weights)
    # A key works with half of the threads at most.
    threads = ThreadPoolExecutor(2 * CORES, thread_name_prefix="api")
    # Who has no key may ask whether it is ready, as often as they like.
    checking = ThreadPoolExecutor(1, thread_name_prefix="ready")
    turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CORES))
    taken: Counter[str] = Counter()
    held: Counter[str] = Counter()
    known = [hashlib.sha256(key.encode()).digest() for key in keys]
    bearer = HTTPBearer(auto_error=False, description="A key of the file that the server was started with.")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        log.start("serve")
        pool.warm()
        yield
        for executor in (threads, checking):
            executor.shutdown(wait=False, cancel_futures=True)

    app = FastAPIOffline(
        title="BraTum Scans",
        version="1",
        description=f"Reads brain MRI slices. {NOT_A_DEVICE}",
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        static_url="/api/static",
        lifespan=lifespan,
    )

    def authorised(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> str:
        """Who asks: a digest of the key, or the same for all where none is asked for."""
        given = hashlib.sha256((credentials.credentials if credentials else "").encode()).digest()
        # Every key is compared, so that the time says nothing.
        if known and not sum(hmac.compare_digest(given, key) for key in known):
            raise HTTPException(
                401, "Send a key as: Authorization: Bearer KEY.", headers={"WWW-Authenticate": "Bearer"}
            )
        return given.hex() if known else ""

    # Both on the one thread of the event loop.
    @contextmanager
    def place(asking: str) -> Iterator[Callable[[int], None]]:
        """A place, and what takes so many bytes more for its body."""
        most = max(waiting // 2, 1) if len(known) > 1 else waiting
        room = ROOM * max_bytes
        own, its_room = 0, room // 2 if len(known) > 1 else room

        def hold(size: int) -> None:
            nonlocal own
            if held.total() + size > room or held[asking] + size > its_room:
                raise HTTPException(503, _BUSY, headers={"Retry-After": "5"})
            own += size
            held[asking] += size

        if taken.total() >= waiting or taken[asking] >= most:
            raise HTTPException(503, _BUSY, headers={"Retry-After": "5"})
        taken[asking] += 1
        try:
            yield hold
        finally:
            taken[asking] -= 1
            held[asking] -= own

    def unusable(error: Exception) -> HTTPException:
        error_id = log.failure("model", error)
        return HTTPException(503, f"The model cannot be used (error {error_id} in the log).")

    def work(asking: str, name: str, data: bytes, overlays: bool, report: bool) -> Record:
        owner.set(asking)
        return read_file(name, data, readers, overlays, report)

    async def loaded() -> Reader:
        return await asyncio.get_running_loop().run_in_executor(checking, readers)

    @app.get("/api/health", tags=["operation"])
    def health() -> dict[str, str]:
        """Whether the process lives; nothing else is looked at."""
        return {"status": "ok"}

    @app.get("/api/ready", tags=["operation"], responses={503: {"description": "No reading can be made."}})
    async def ready() -> Any:
        """Whether a reading can be made now: the model is loaded and whole."""
        try:
            await loaded()
        except (ModelError, FileNotFoundError) as error:
            log.failure("model", error)
            return JSONResponse({"status": "no model"}, 503)
        return {"status": "ready"}

    @app.get("/api/v1/model", tags=["readings"], dependencies=[Depends(authorised)])
    async def model() -> dict[str, Any]:
        """The model that reads: digest, the site's recalibration, classes, levels of its prediction sets."""
        try:
            reader = await loaded()
        except (ModelError, FileNotFoundError) as error:
            raise unusable(error) from error
        return {
            "digest": reader.classifier.digest,
            "recalibration": recalibration_of(reader),
            "classes": list(CLASSES),
            "levels": sorted(reader.calibration.thresholds) if reader.calibration else [],
            "checks_distribution": reader.detector is not None,
            "notice": NOT_A_DEVICE,
        }

    content = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
    }

    @app.post(
        "/api/v1/readings",
        tags=["readings"],
        responses={
            401: {"description": "No key, or a wrong one."},
            413: {"description": "The body is too large."},
            422: {"description": "The file cannot be read; `detail` says why and what to do."},
            500: {"description": "Reading failed; `detail` has the id of the error in the server's log."},
            503: {"description": "Too many requests at once; Retry-After says when to come back."},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": form, "application/dicom": content, "*/*": content},
            }
        },
    )
    async def readings(
        request: Request,
        asking: Annotated[str, Depends(authorised)],
        overlay: Annotated[
            bool,
            Query(description="with each slice as PNG, base64, its map where that says something"),
        ] = False,
        report: Annotated[
            bool, Query(description="with structured report and maps for the archive, DICOM, base64")
        ] = False,
    ) -> dict[str, Any]:
        """Read a file: as the field `file` of a form, or as the body itself.

        PNG, JPEG, BMP, TIFF, WebP, DICOM, NIfTI, or an archive of these. Nothing of it is kept.
        """
        with place(asking) as hold:
            try:
                async with asyncio.timeout(ARRIVING) as limit:
                    name, data = await _upload(request, max_bytes, hold, limit)
            # Nobody is there to be told; the log would have it as a failure.
            except ClientDisconnect as error:
                raise HTTPException(400, "The body did not come to its end.") from error
            except TimeoutError as error:
                raise HTTPException(
                    408, f"The body comes more slowly than {SLOWEST:,} bytes a second."
                ) from error
            try:
                async with turns[asking]:
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(threads, work, asking, name, data, overlay, report)
            except (UnreadableScan, NoReference) as error:
                log.refusal(error)
                raise HTTPException(422, str(error)) from error
            except (ModelError, FileNotFoundError) as error:
                raise unusable(error) from error
            # Its own words, which may name a patient, are neither for the answer nor for the log.
            except Exception as error:
                error_id = log.failure("unforeseen", error)
                raise HTTPException(500, f"Reading failed (error {error_id} in the log).") from error

    return app


async def _upload(
    request: Request, max_bytes: int, hold: Callable[[int], None], limit: asyncio.Timeout
) -> tuple[str, bytes]:
    """The file's name and content; the body is read no further than it may be long.

    Args:
        hold: called with the number of bytes that are to be held further; raises where there is no room.
        limit: of the time, which what comes puts off.
    """
    too_large = HTTPException(413, f"The body may have {max_bytes:,} bytes at most.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise too_large
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")

    async def chunks() -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            hold(len(chunk))
            # Who was fast before may not be silent for longer.
            later = (limit.when() or 0.0) + len(chunk) / SLOWEST
            limit.reschedule(min(later, asyncio.get_running_loop().time() + ARRIVING))
            yield chunk

    if not is_form:
        # One buffer, which its value shares.
        arriving = io.BytesIO()
        async for chunk in chunks():
            arriving.write(chunk)
        return "scan", arriving.getvalue()
    # As it comes: all of it at once would keep every other request waiting.
    parser = MultiPartParser(request.headers, chunks(), max_files=1, max_fields=8)
    # In memory, as long as it may be at all: a patient's scan is written to no disk.
    parser.spool_max_size = max_bytes
    try:
        form = await parser.parse()
    # Of a charset that is no text's, or does not fit.
    except (MultiPartException, UnicodeError) as error:
        raise HTTPException(422, "The form is damaged, or holds more than one file.") from error
    file = form.get("file")
    if file is None or isinstance(file, str):
        raise HTTPException(422, "The form must hold a file in its field `file`.")
    # Its own buffer: to copy it would keep every other request waiting, and take as much memory again.
    return file.filename or "scan", file.file._file.getvalue()  # type: ignore[attr-defined]
