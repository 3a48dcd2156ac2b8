"""What the pages' scripts ask for: take in a file, examine it, say how far that is, keep a correction."""

from __future__ import annotations

import errno
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from flows.desk.desk import Desk
from flows.desk.examiner import Examination
from flows.desk.review import correction_of
from storage.corrections import Correction
from storage.uploads import TooLargeError, Upload
from tasks.progress import STEPS

_MOST_JSON_BYTES = 4 << 20
_TOO_LARGE, _NO_ROOM, _UNFIT, _UNKNOWN, _GONE = 413, 507, 422, 404, 400


class Answers:
    """The addresses below /api of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def upload(self, request: Request) -> JSONResponse:
        """The body is the file, `name` in the query what it is called."""
        desk = self._desk
        try:
            if int(request.headers.get("content-length", 0)) > desk.most_bytes:
                raise TooLargeError.above(desk.most_bytes)
            with desk.shelf.receiving(request.query_params.get("name", ""), most_bytes=desk.most_bytes) as incoming:
                async for block in request.stream():
                    await run_in_threadpool(incoming.write, block)
                kept = await run_in_threadpool(incoming.keep)
        except TooLargeError as error:
            return _refused(_TOO_LARGE, str(error))
        except ValueError as error:
            return _refused(_UNFIT, str(error))
        except ClientDisconnect:
            return _refused(_GONE, "the file did not arrive whole")
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return _refused(_NO_ROOM, "the disk of the desk is full")
        return JSONResponse({"sha256": kept.sha256, "name": kept.name, "address": f"/clips/{kept.sha256}"})

    async def examine(self, request: Request) -> JSONResponse:
        """`{"models": [key, ...]}`: examine a file with these."""
        upload = self._upload(request)
        if upload is None:
            return _no_file()
        try:
            keys = (await _json_of(request)).get("models")
            if not isinstance(keys, list) or not keys:
                raise ValueError("choose a model")
            models = [await run_in_threadpool(self._desk.models.find, str(key)) for key in keys]
        except ValueError as error:
            return _refused(_UNFIT, str(error))
        return JSONResponse({"examinations": [_said(self._desk.examiner.submit(upload, model)) for model in models]})

    async def examinations(self, request: Request) -> JSONResponse:
        """How far each examination of a file is."""
        upload = self._upload(request)
        if upload is None:
            return _no_file()
        return JSONResponse({"examinations": [_said(each) for each in self._desk.examiner.of(upload.sha256)]})

    async def correct(self, request: Request) -> JSONResponse:
        """Keep a correction of one model's report."""
        upload = self._upload(request)
        if upload is None:
            return _no_file()
        try:
            kept = await run_in_threadpool(self._keep, upload, await _json_of(request))
        except ValueError as error:
            return _refused(_UNFIT, str(error))
        return JSONResponse({"complete": kept.complete, "split": kept.split, "at": kept.at, "by": kept.by})

    def _keep(self, upload: Upload, data: dict[str, Any]) -> Correction:
        document = self._desk.report(upload.sha256, str(data.get("model")))
        if document is None:
            raise ValueError("there is no report of this model on the file; reload the page")
        return self._desk.corrections.save(correction_of(data, document), upload.path)

    def _upload(self, request: Request) -> Upload | None:
        return self._desk.upload(request.path_params["sha256"])


async def _json_of(request: Request) -> dict[str, Any]:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > _MOST_JSON_BYTES:
            raise ValueError("that is more than a correction can be")
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError("an object is wanted")
    return data


def _said(examination: Examination) -> dict[str, Any]:
    return {
        "model": examination.model.key,
        "label": examination.model.label,
        "state": examination.state,
        "step": examination.step,
        "num_steps_done": examination.num_steps_done,
        "num_steps": len(STEPS),
        "error": examination.error,
    }


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)


def _no_file() -> JSONResponse:
    return _refused(_UNKNOWN, "this desk has no such file; reload the page")
