"""The file that names the archives: one TOML table a server, checked before anything is sent."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from AcuteFindingsLib.errors import PacsError
from AcuteFindingsLib.places import settings_folder

EXAMPLE = """\
# Archives that `acutefindings find`, `pull` and `push` know by name. Passwords do not belong here: say where one is.

[hospital]                                   # DICOMweb
kind = "dicomweb"
url = "https://pacs.example.org/dicom-web"
user = "reader"
password_file = "hospital.password"          # beside this file; only its owner may read it (chmod 600)
# password = "keyring"                       # or: keyring set acutefindings:hospital reader
# token_file = "hospital.token"              # or, in place of user and password: a bearer token
# ca_file = "hospital-ca.pem"                # who vouches for the server, where the system does not know
# certificate_file = "me.pem"                # where the server asks who we are
# key_file = "me.key"

[archive]                                    # classic DICOM
kind = "dicom"
host = "10.0.0.5"
port = 104
ae_title = "ARCHIVE"                         # the server's
own_ae_title = "ACUTEFINDINGS"               # ours; the server must know it
receive_port = 11112                         # where the server sends what C-MOVE asks for; without it C-GET is used
receive_host = "10.0.0.17"                   # this computer's address there; without it only this computer can send
# receive_from = ["ARCHIVE", "ARCHIVE_OUT"]  # who may send, where that is not ae_title
# tls = true                                 # with ca_file, certificate_file and key_file as above
"""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]
_Port = Annotated[int, Field(ge=1, le=65535)]


class _Server(BaseModel):
    """What both kinds of server have: login, TLS and patience.

    Attributes
    ----------
    name
        The table's name in the file.
    folder
        Where the file lies; relative file names start there.
    user, password_file, password
        Login by name; the password is in a file, or in the keyring where `password` is ``"keyring"``.
    token_file, token
        Login by bearer token (DICOMweb), likewise.
    ca_file
        PEM with who vouches for the server; None trusts whom the system trusts.
    certificate_file, key_file, key_password_file
        Our own certificate and its key, where the server asks for one.
    check_host_name
        Whether the server's certificate must name its host.
    login_without_tls
        Whether a password may cross the network unencrypted.
    timeout
        Seconds to wait for an answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    folder: Path
    user: str | None = None
    password_file: Path | None = None
    password: Literal["keyring"] | None = None
    token_file: Path | None = None
    token: Literal["keyring"] | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password_file: Path | None = None
    check_host_name: bool = True
    login_without_tls: bool = False
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @field_validator("password_file", "token_file", "ca_file", "certificate_file", "key_file", "key_password_file")
    @classmethod
    def _beside_the_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else info.data.get("folder", Path()) / value.expanduser()

    @property
    def encrypted(self) -> bool:
        """Whether what is sent is encrypted."""
        raise NotImplementedError

    @property
    def local(self) -> bool:
        """Whether the server is this machine."""
        return self.host_name in _LOOPBACK

    @property
    def host_name(self) -> str:
        """The machine the server runs on."""
        raise NotImplementedError

    @property
    def has_login(self) -> bool:
        """Whether a password or a token is sent."""
        return bool(self.password_file or self.password or self.token_file or self.token)


class DicomwebServer(_Server):
    """A server that speaks DICOMweb (QIDO-RS, WADO-RS and STOW-RS, PS3.18).

    Attributes
    ----------
    url
        Base of the three services, ``https://host/dicom-web``.
    proxy
        URL of an HTTP proxy; None goes straight there.
    """

    kind: Literal["dicomweb"]
    url: str
    proxy: str | None = None

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give a whole address such as https://pacs.example.org/dicom-web")
        if parts.username or parts.password:
            raise ValueError("leave user name and password out of it; use user and password_file")
        if parts.query or parts.fragment:
            raise ValueError("leave out everything from ? or # on")
        return value.rstrip("/")

    @property
    def encrypted(self) -> bool:
        """Whether the address begins with https."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host_name(self) -> str:
        """The host in the address."""
        return urlsplit(self.url).hostname or ""

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return self.url


class DimseServer(_Server):
    """A server that speaks classic DICOM (PS3.7, PS3.8).

    Attributes
    ----------
    host, port, ae_title
        The server.
    own_ae_title
        What we call ourselves.
    tls
        Whether the connection is encrypted.
    receive_port, receive_host
        Where our temporary receiver listens for what C-MOVE asks for; the server knows our AE title at this address.
        Without a port, C-GET is used. Only this computer can reach the receiver unless `receive_host` names the address
        to listen on: one of this computer's in the archive's network, or ``"0.0.0.0"`` for all.
    receive_from
        AE titles that may send to our receiver; None: the server's own.
    receive_tls
        Whether the server encrypts what it sends us; None: as `tls`.
    retrieve
        ``auto`` asks with C-MOVE and fetches by C-GET what did not come; ``move`` and ``get`` do one of them only.
    """

    kind: Literal["dicom"]
    host: Annotated[str, Field(min_length=1)]
    port: _Port
    ae_title: _AeTitle
    own_ae_title: _AeTitle = "ACUTEFINDINGS"
    tls: bool = False
    receive_port: _Port | None = None
    receive_host: str = "127.0.0.1"
    receive_from: Annotated[list[_AeTitle], Field(min_length=1)] | None = None
    receive_tls: bool | None = None
    retrieve: Literal["auto", "move", "get"] = "auto"

    @property
    def encrypted(self) -> bool:
        """Whether `tls` is set."""
        return self.tls

    @property
    def host_name(self) -> str:
        """The host."""
        return self.host

    @property
    def receiver_unreachable(self) -> bool:
        """Whether the server is another computer and our receiver listens to this one alone."""
        return self.receive_host in _LOOPBACK and not self.local

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return f"{self.ae_title} at {self.host}:{self.port}"


Server = DicomwebServer | DimseServer
_ADAPTER: TypeAdapter[Server] = TypeAdapter(Annotated[Server, Field(discriminator="kind")])


def default_servers_file() -> Path:
    """Where the file is looked for when none is named."""
    return settings_folder() / "servers.toml"


def read_servers(path: Path) -> dict[str, Server]:
    """Read every server of a file, in its order.

    Raises
    ------
    PacsError
        Where the file is missing, is not TOML, or an entry is wrong; never repeats a value, which may be a secret.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PacsError(
            f"There is no file of servers at {path}: write one (acutefindings servers example prints a template) or "
            "name another with --servers."
        ) from error
    except OSError as error:
        raise PacsError(f"The file of servers {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise PacsError(f"{path.name} is not valid TOML: {where}.") from error
    return {name: _read_entry(path, name, table) for name, table in tables.items()}


def find_server(path: Path, name: str) -> Server:
    """Read one server of a file.

    Raises
    ------
    PacsError
        As `read_servers`, and where no server has that name.
    """
    servers = read_servers(path)
    if name not in servers:
        known = ", ".join(servers) or "none"
        raise PacsError(f"{path.name} names no server {name!r}; it names: {known}.")
    return servers[name]


def _read_entry(path: Path, name: str, table: Any) -> Server:
    if not isinstance(table, dict):
        raise PacsError(f"{path.name}: {name} is outside a server's table; begin with a line [name-of-the-server].")
    for secret in ("password", "token"):
        if table.get(secret) not in (None, "keyring"):
            raise PacsError(
                f"{path.name}: the {secret} of {name} does not belong in this file; put it into a separate file and "
                f'set {secret}_file = "…", or into the keyring and set {secret} = "keyring".'
            )
    try:
        server = _ADAPTER.validate_python({**table, "name": name, "folder": path.absolute().parent})
    except ValidationError as error:
        # The cause would show the values, and one of them may be a secret.
        raise PacsError(f"{path.name}: {name} is not right: {_explain(error)}.") from None
    if server.password_file or server.password:
        if not server.user:
            raise PacsError(f"{path.name}: {name} has a password but no user.")
    elif server.user and not (server.token_file or server.token):
        raise PacsError(
            f'{path.name}: {name} has a user but no password; set password_file = "…" or password = "keyring".'
        )
    if server.kind == "dicom" and (server.token_file or server.token):
        raise PacsError(f"{path.name}: {name} has a token, which classic DICOM does not use; give user and password.")
    if server.key_file and not server.certificate_file:
        raise PacsError(f"{path.name}: {name} has a key_file but no certificate_file.")
    if server.has_login and not (server.encrypted or server.local or server.login_without_tls):
        raise PacsError(
            f"{path.name}: the login of {name} would cross the network unencrypted; use "
            f"{'https' if server.kind == 'dicomweb' else 'tls = true'}, or set login_without_tls = true to accept that."
        )
    return server


def _explain(error: ValidationError) -> str:
    """Say which fields are wrong, without their values."""
    parts = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        field = ".".join(str(part) for part in problem["loc"] if part not in ("dicomweb", "dicom"))
        if problem["type"] == "extra_forbidden":
            parts.append(f"{field} is not a setting of this kind of server")
        elif problem["type"] == "missing":
            parts.append(f"{field} is missing")
        elif problem["type"].startswith("union_tag"):
            parts.append('kind must be "dicomweb" or "dicom"')
        else:
            message = problem["msg"].removeprefix("Value error, ")
            parts.append(f"{field}: {message[:1].lower()}{message[1:]}")
    return "; ".join(parts)
