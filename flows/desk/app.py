"""The desk as a web application: its addresses, behind the guard."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flows.desk.answers import Answers
from flows.desk.desk import Desk
from flows.desk.downloads import Downloads
from flows.desk.guard import Guard
from flows.desk.pages import Pages

_STATIC = {"desk.css": "text/css", **{f"{name}.js": "text/javascript" for name in ("desk", "home", "clip", "review")}}


def application(desk: Desk) -> Starlette:
    """What a server on this machine runs."""
    pages, answers, downloads = Pages(desk), Answers(desk), Downloads(desk)
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/clips/{sha256}", pages.clip),
            Route("/api/clips", answers.upload, methods=["POST"]),
            Route("/api/clips/{sha256}/examinations", answers.examine, methods=["POST"]),
            Route("/api/clips/{sha256}/examinations", answers.examinations),
            Route("/api/clips/{sha256}/corrections", answers.correct, methods=["POST"]),
            Route("/files/media/{sha256}/{name}", downloads.media),
            Route("/files/reports/{sha256}/{key}/{file}", downloads.report),
            Route("/files/corrections/{sha256}.json", downloads.corrections),
            Route("/static/{file}", _static),
        ],
        middleware=[Middleware(Guard)],
    )


async def _static(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in _STATIC:
        return PlainTextResponse("no such file\n", 404)
    content = files("flows.desk").joinpath("static", name).read_text(encoding="utf-8")
    return Response(content, media_type=_STATIC[name])
