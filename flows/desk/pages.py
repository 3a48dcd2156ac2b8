"""The desk's two pages: what it has, and one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from flows.desk import review
from flows.desk.desk import Desk
from flows.desk.differences import differences, spans
from flows.desk.models import DeskModel
from iamsb_core.digest import plain
from iamsb_core.report.drawing import ticks
from iamsb_core.report.exports import FORMATS, file_name
from iamsb_core.report.headline import clock, stretch, visible
from storage.corrections import MANIFEST_FILE, Correction
from storage.uploads import MEDIA_FOLDER, Upload
from tasks.progress import STEPS

TITLES = {"audio": "Sound", "visual": "Picture"}
_KIB = 1024.0


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """One model's report as a page shows it."""

    key: str
    label: str
    document: Mapping[str, Any]
    address: str
    """of the folder that its files are in"""

    @property
    def tone(self) -> str:
        """The class by which the verdict is coloured."""
        return {"forged": "forged", "not enough evidence": "doubt"}.get(self.document["verdict"]["decision"], "clear")

    def lane(self, stream: str) -> tuple[tuple[float, float, float], ...] | None:
        """Start, end, score of each shown segment; None where the stream was not examined."""
        return None if self.document["curves"][stream] is None else spans(self.document, stream)


class Pages:
    """Renders the pages of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._environment = Environment(
            loader=PackageLoader("flows.desk"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters |= {"clock": clock, "visible": visible, "size": size_text, "percent": _percent}
        self._environment.globals |= {"stretch": stretch, "titles": TITLES, "steps": STEPS}

    def home(self, _request: Request) -> HTMLResponse:
        """Drop a file, choose models, go back to a file."""
        desk = self._desk
        models = desk.models.listed()
        files = [
            (upload, self._views(upload, models), desk.corrections.latest(upload.sha256)) for upload in desk.shelf.all()
        ]
        manifest = desk.corrections.folder / MANIFEST_FILE
        num_corrected = len(manifest.read_text(encoding="utf-8").splitlines()) if manifest.is_file() else 0
        return self._page(
            "home.html.jinja",
            models=models,
            files=files,
            most_bytes=desk.most_bytes,
            num_corrected=num_corrected,
            dataset=desk.corrections.folder,
        )

    def clip(self, request: Request) -> HTMLResponse:
        """One file: examinations, findings, corrections, comparison, report, exports."""
        desk, upload = self._desk, self._upload(request)
        models = desk.models.listed()
        views = self._views(upload, models)
        shown = _chosen(views, request.query_params.get("model", "")) or (views[0] if views else None)
        other = _chosen(views, request.query_params.get("with", ""))
        other = None if shown is None or other is None or other.key == shown.key else other
        correction = desk.corrections.latest(upload.sha256)
        return self._page(
            "clip.html.jinja",
            upload=upload,
            media=media_address(upload),
            models=models,
            views=views,
            shown=shown,
            other=other,
            lanes=_lanes(shown, other),
            ticks=() if shown is None else ticks(shown.document["media"]["duration_seconds"]),
            differences=() if shown is None or other is None else differences(shown.document, other.document),
            correction=correction,
            history=desk.corrections.history(upload.sha256),
            examinations=desk.examiner.of(upload.sha256),
            formats=[(each, file_name(each)) for each in FORMATS.values()],
            data=self._data(upload, shown, correction),
            analyst=correction.by if correction is not None else desk.analyst,
        )

    def _page(self, name: str, **shown: Any) -> HTMLResponse:
        return HTMLResponse(self._environment.get_template(name).render(**shown))

    def _upload(self, request: Request) -> Upload:
        upload = self._desk.upload(request.path_params["sha256"])
        if upload is None:
            raise HTTPException(404, "this desk has no such file")
        return upload

    def _views(self, upload: Upload, models: tuple[DeskModel, ...]) -> list[ReportView]:
        """The reports there are, in the order of the models; then those of models that are gone."""
        documents = self._desk.reports(upload.sha256)
        labels = {model.key: model.label for model in models}
        order = [*(key for key in labels if key in documents), *(key for key in documents if key not in labels)]
        return [
            ReportView(
                key=key,
                label=labels.get(key, documents[key]["model"]["uri"]),
                document=documents[key],
                address=f"/files/reports/{upload.sha256}/{quote(key)}",
            )
            for key in order
        ]

    def _data(self, upload: Upload, shown: ReportView | None, correction: Correction | None) -> dict[str, Any]:
        """What the page's script works on."""
        if shown is None:
            return {"sha256": upload.sha256}
        return {
            "sha256": upload.sha256,
            "model": shown.key,
            "duration": shown.document["media"]["duration_seconds"],
            "streams": {stream: TITLES[stream] for stream in review.examined(shown.document)},
            "rows": plain(review.rows(shown.document, correction)),
        }


def _chosen(views: list[ReportView], key: str) -> ReportView | None:
    return next((view for view in views if view.key == key), None)


def _lanes(shown: ReportView | None, other: ReportView | None) -> list[tuple[str, str, ReportView]]:
    """Stream, title and report of each lane: the streams of one model beside those of the other."""
    views = [view for view in (shown, other) if view is not None]
    return [(stream, TITLES[stream], view) for stream in TITLES for view in views]


def media_address(upload: Upload) -> str:
    """Where the file itself is: from a report's address the same way as on the disk, so that its player finds it."""
    return f"/files/{MEDIA_FOLDER}/{upload.sha256}/{quote(upload.name, safe='')}"


def size_text(num_bytes: int) -> str:
    """`1.5 MiB`."""
    size, unit = float(num_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _KIB or unit == "GiB":
            break
        size /= _KIB
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _percent(seconds: float, duration_seconds: float) -> float:
    return round(100.0 * seconds / duration_seconds, 4)
