"""The files that the desk hands out: the media, reports, exports, corrections, and all of them as one archive."""

from __future__ import annotations

import io
import json
import mimetypes
import zipfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from flows.desk.desk import Desk
from iamsb_core.digest import plain
from iamsb_core.report.exports import FORMATS, export, file_name
from iamsb_core.report.write import HTML_FILE, JSON_FILE, POSTER_FILE
from storage.corrections import MANIFEST_FILE, manifest_entry
from storage.uploads import Upload

ARCHIVE_FILE, CORRECTIONS_FILE = "all.zip", "corrections.json"
_PLAYABLE = ("video/", "audio/")
_BINARY = "application/octet-stream"
_KINDS = {HTML_FILE: "text/html; charset=utf-8", JSON_FILE: "application/json", POSTER_FILE: "image/jpeg"}
_REPORT_POLICY = "frame-ancestors 'self'"
"""the report's page brings a stricter policy of its own, which lets its script run and nothing else"""


class Downloads:
    """The addresses below /files of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def media(self, request: Request) -> Response:
        """The file itself, in ranges where the player asks for them."""
        upload = self._upload(request)
        if request.path_params["name"] != upload.name:
            raise HTTPException(404)
        kind = mimetypes.guess_type(upload.name)[0] or _BINARY
        kind = kind if kind.startswith(_PLAYABLE) else _BINARY
        return FileResponse(upload.path, media_type=kind, headers={"Cache-Control": "private, no-cache"})

    def report(self, request: Request) -> Response:
        """A file of a report: those on the disk, any export format, or all of them as a ZIP archive."""
        upload, key, name = self._upload(request), request.path_params["key"], request.path_params["file"]
        document = self._desk.report(upload.sha256, key)
        if document is None:
            raise HTTPException(404)
        folder = self._desk.examiner.folder(upload.sha256, key)
        wanted = "download" in request.query_params
        if name in _KINDS and (folder / name).is_file():
            headers = {"Content-Security-Policy": _REPORT_POLICY} if name == HTML_FILE else {}
            saved_as = _saved_as(upload, name) if wanted else {}
            return FileResponse(folder / name, media_type=_KINDS[name], headers=headers | saved_as)
        if name == ARCHIVE_FILE:
            return Response(self._archive(upload, key, document), 200, _saved_as(upload, name), "application/zip")
        exported = exports(document).get(name)
        if exported is None:
            raise HTTPException(404)
        return Response(exported, 200, _saved_as(upload, name), _BINARY)

    def corrections(self, request: Request) -> Response:
        """Every correction of a file, as JSON."""
        upload = self._upload(request)
        return Response(self._history(upload), 200, _saved_as(upload, CORRECTIONS_FILE), "application/json")

    def _upload(self, request: Request) -> Upload:
        upload = self._desk.upload(request.path_params["sha256"])
        if upload is None:
            raise HTTPException(404)
        return upload

    def _history(self, upload: Upload) -> str:
        return json.dumps(plain(self._desk.corrections.history(upload.sha256)), indent=1) + "\n"

    def _archive(self, upload: Upload, key: str, document: Mapping[str, Any]) -> bytes:
        folder = self._desk.examiner.folder(upload.sha256, key)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _KINDS:
                if (folder / name).is_file():
                    archive.write(folder / name, name)
            for name, content in exports(document).items():
                archive.writestr(name, content)
            archive.writestr(CORRECTIONS_FILE, self._history(upload))
            latest = self._desk.corrections.latest(upload.sha256)
            if latest is not None and latest.complete:
                archive.writestr(MANIFEST_FILE, json.dumps(manifest_entry(latest)) + "\n")
        return buffer.getvalue()


def exports(document: Mapping[str, Any]) -> dict[str, bytes]:
    """A report in every export format, by file name."""
    return {
        file_name(each): export(document, each.name).encode("utf-8", "backslashreplace") for each in FORMATS.values()
    }


def _saved_as(upload: Upload, name: str) -> dict[str, str]:
    """Under the media's own name, `talk.report.srt`."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{upload.path.stem}.{name}', safe='')}"}
