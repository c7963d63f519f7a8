"""`acutefindings serve`: a web page and an HTTP API."""

from pathlib import Path
from typing import Annotated

import typer

from AcuteFindingsLib import RESEARCH_USE_ONLY
from AcuteFindingsLib.cli.common import (
    Device,
    ModelFolders,
    Threads,
    device_name,
    err_console,
    keep_telling,
    listed,
    one_of,
    out_console,
    plain,
)
from AcuteFindingsLib.cli.worklist import Database
from AcuteFindingsLib.errors import ServeError
from AcuteFindingsLib.worklist.words import ENGINES


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; by default this computer alone.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    results: Annotated[
        Path | None, typer.Option("--results", help="Folder of uploads and results; default: in your account.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Who may ask: one token a line, or name:token."),
    ] = None,
    keep_days: Annotated[
        float,
        typer.Option("--keep-days", min=0, max=36500, help="Days after which uploaded studies are removed; 0: never."),
    ] = 30.0,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM certificate; the server then speaks https.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key.")] = None,
    engine: Annotated[str, typer.Option("--engine", help=f"Where to compute: {listed(ENGINES)}.")] = "local",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Studies read at once; default: 1.")] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster; by default Ray runs on this computer.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,  # noqa: ARG001
    models_folder: ModelFolders = None,
    database: Database = None,
) -> None:
    """Serve a web page and an HTTP API: studies are uploaded, read, and shown with their evidence; until stopped."""
    one_of("--engine", engine, ENGINES)
    try:
        from AcuteFindingsLib.serve.run import serve as run_server
    except ModuleNotFoundError as error:
        raise ServeError(
            f"The server needs the Python package {error.name}: pip install 'acutefindings[web]'."
        ) from error
    from AcuteFindingsLib.places import results_folder
    from AcuteFindingsLib.serve.access import is_loopback
    from AcuteFindingsLib.serve.settings import ServeSettings
    from AcuteFindingsLib.serve.tokens import read_tokens
    from AcuteFindingsLib.worklist.engines.choose import make_engine
    from AcuteFindingsLib.worklist.engines.local import LocalEngine

    if (tls_certificate is None) != (tls_key is None):
        raise ServeError("--tls-certificate and --tls-key belong together; give both.")
    settings = ServeSettings(
        results=(results or results_folder()).absolute(),
        host=host,
        port=port,
        tokens=() if token_file is None else read_tokens(token_file),
        device=device_name(device),
        model_folders=tuple(folder.absolute() for folder in models_folder or ()),
        keep_days=keep_days,
        database=database,
    )
    if settings.tokens and tls_certificate is None and not is_loopback(host):
        err_console.print(
            "  warning  tokens and patients' images cross the network unencrypted; give --tls-certificate and "
            "--tls-key, or put the server behind one that encrypts"
        )
    reads = make_engine(engine, workers=workers, address=address, keep=True)
    out_console.print(RESEARCH_USE_ONLY)
    try:
        run_server(settings, reads, certificate=tls_certificate, key=tls_key, say=keep_telling)
    finally:
        if isinstance(reads, LocalEngine):
            reads.close()
    out_console.print(f"stopped; results are in {plain(settings.results)}")
