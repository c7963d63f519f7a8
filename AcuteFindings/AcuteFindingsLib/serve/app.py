"""The app: the API, its description, and the page's files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from AcuteFindingsLib import RESEARCH_USE_ONLY, __version__
from AcuteFindingsLib.serve import about_routes, evidence_routes, job_routes, study_routes
from AcuteFindingsLib.serve.access import Access
from AcuteFindingsLib.serve.board import Board
from AcuteFindingsLib.serve.context import Context
from AcuteFindingsLib.serve.job_files import JobFiles
from AcuteFindingsLib.serve.problem import ProblemBody, answers, handle_problems
from AcuteFindingsLib.serve.removal import Expiry
from AcuteFindingsLib.serve.runner import Runner
from AcuteFindingsLib.serve.settings import API, ServeSettings
from AcuteFindingsLib.worklist.engines.engine import Engine
from AcuteFindingsLib.worklist.store import Store

PAGE = Path(__file__).resolve().parent / "page"
"""The page's files."""

PAGE_STYLE = PAGE.parents[1] / "pages" / "page.css"
"""Colors and looks of reports."""


def make_app(settings: ServeSettings, engine: Engine, say: Callable[[str], object] = print) -> Access:
    """Return the app, behind what decides who gets in; its jobs run while it is being served.

    Parameters
    ----------
    settings
        How it runs.
    engine
        Which reads.
    say
        Told of each study that was read, and of what went wrong; names no patient.

    Raises
    ------
    WorklistError, DataError
        The folder of results, or its list, cannot be used.
    """
    store = Store(settings.results, url=settings.database)
    context = Context(settings, Board(JobFiles(settings.results), say), store)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        runner = Runner(settings, context.board, store, engine, say)
        expiry = Expiry(context.board, store, settings.keep_days, say)
        runner.start()
        expiry.start()
        try:
            yield
        finally:
            context.stopping = True
            expiry.stop()
            runner.stop()
            store.close()

    app = FastAPI(
        title="AcuteFindings",
        version=__version__,
        summary="Upload a study, follow its job, and get the finding with its evidence.",
        description=RESEARCH_USE_ONLY,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        separate_input_output_schemas=False,
    )
    app.state.context = context
    handle_problems(app, say)
    for routes in (job_routes, study_routes, evidence_routes, about_routes):
        app.include_router(routes.router, prefix=API)
    _describe(app)
    _serve_page(app)
    return Access(app, settings)


def _serve_page(app: FastAPI) -> None:
    """Serve the page's files, and the style of reports, whose colors and verdicts it shares."""

    @app.get("/base.css", include_in_schema=False)
    def base() -> Response:
        return FileResponse(PAGE_STYLE, media_type="text/css")

    app.mount("/", StaticFiles(directory=PAGE, html=True))


def _describe(app: FastAPI) -> None:
    """Add to the description what FastAPI cannot know: the body of errors, and tokens."""
    made = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["ProblemBody"] = ProblemBody.model_json_schema()
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{}, {"token": []}]
            for name in ("HTTPValidationError", "ValidationError"):
                parts["schemas"].pop(name, None)
            for methods in schema["paths"].values():
                for route in methods.values():
                    taken = route["responses"].pop("422", None)
                    route["responses"] |= {str(one): said for one, said in answers(*([422] if taken else [])).items()}
                    route["responses"]["default"] = {**answers(401)[401], "description": "A problem"}
            app.openapi_schema = schema
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return FileResponse(PAGE / "docs.html", media_type="text/html")
