"""The connection that a kind of archive needs."""

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.pacs.connection import Connection
from AcuteFindingsLib.pacs.servers import Server


def connect(server: Server) -> Connection:
    """Return the connection to a server; nothing is sent yet.

    Raises
    ------
    PacsError
        Where a secret or certificate cannot be read, or the package that speaks with this kind of server is missing.
    """
    try:
        if server.kind == "dicomweb":
            from AcuteFindingsLib.pacs.dicomweb import DicomwebConnection

            return DicomwebConnection(server)
        from AcuteFindingsLib.pacs.dimse import DimseConnection

        return DimseConnection(server)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("dicomweb_client", "pynetdicom", "requests"):
            raise
        raise PacsError(
            f"Archives need the package {error.name}, which is missing; install: pip install 'acutefindings[pacs]'"
        ) from error
