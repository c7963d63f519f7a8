"""The catalogue: which models there are to be had, where from, under which license, and how to tell they are whole.

One JSON file, `Resources/Models/catalogue.json`, with the schema beside it; a hospital's mirror is another such file.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from AcuteFindingsLib.errors import ModelError
from AcuteFindingsLib.models.download.fetch import is_web, read_bytes
from AcuteFindingsLib.models.download.fetch_words import shown_address
from AcuteFindingsLib.models.files import parse_json
from AcuteFindingsLib.models.metadata import Task
from AcuteFindingsLib.names import model_id
from AcuteFindingsLib.resources import resource_path

CATALOGUE, SCHEMA = "catalogue.json", "catalogue.schema.json"

_NAMED_FAULTS = 3
_LONGEST_TEXT = 200
_MOST_BYTES = 8 * 2**20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShippedSource(_Strict):
    """The model came with the extension; `size` in bytes and `sha256` are those of its weights file."""

    kind: Literal["shipped"]
    size: int = Field(gt=0)
    sha256: Sha256


class ArchiveSource(_Strict):
    """A zip file of one model package, of `size` bytes.

    `urls` are http(s) addresses, tried in their order, or paths relative to where the catalogue itself is.
    """

    kind: Literal["archive"]
    urls: list[str] = Field(min_length=1)
    size: int = Field(gt=0)
    sha256: Sha256

    @field_validator("urls")
    @classmethod
    def _reachable(cls, urls: list[str]) -> list[str]:
        for url in urls:
            parts = urlsplit(url)
            web = parts.scheme in ("http", "https") and bool(parts.netloc)
            path = PurePosixPath(url)
            inside = not parts.scheme and not path.is_absolute() and ".." not in path.parts and "\\" not in url
            if not (web or (inside and url)):
                raise ValueError(f"{url!r} is neither an http(s) address nor a path below the catalogue")
        return urls


class ProviderSource(_Strict):
    """The model comes with a Python package of its own authors, which fetches the weights itself."""

    kind: Literal["provider"]
    provider: str
    requirement: str
    homepage: str


class CatalogueEntry(_Strict):
    """One model; `version` is empty where its provider's package decides."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$"), AfterValidator(model_id)]
    tasks: list[Task] = Field(min_length=1)
    title: str = Field(min_length=1)
    version: str = ""
    license: str = Field(
        min_length=1, validation_alias=AliasChoices("licence", "license"), serialization_alias="licence"
    )
    citations: list[str] = Field(min_length=1)
    source: ShippedSource | ArchiveSource | ProviderSource = Field(discriminator="kind")

    @property
    def size_text(self) -> str:
        """Return the size of what is downloaded, for a list."""
        return "" if isinstance(self.source, ProviderSource) else f"{self.source.size / 1e6:.1f} MB"


class Catalogue(_Strict):
    """All models of one catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_file: str = Field(default=SCHEMA, alias="$schema")
    format: Literal[1] = 1
    models: list[CatalogueEntry]

    @model_validator(mode="after")
    def _each_once(self) -> "Catalogue":
        ids = [entry.id for entry in self.models]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"listed more than once: {', '.join(twice)}")
        return self

    def entry(self, model: str) -> CatalogueEntry:
        """Return the entry with this id.

        Raises
        ------
        ModelError
            When there is none; names those there are.
        """
        for entry in self.models:
            if entry.id == model:
                return entry
        ids = ", ".join(entry.id for entry in self.models) or "none"
        raise ModelError(f"The catalogue lists no model {model!r}; it lists {ids}.")


def load_catalogue(source: str | Path | None = None) -> Catalogue:
    """Read a catalogue and make the addresses in it absolute.

    Parameters
    ----------
    source
        Path of a JSON file, or its http(s) address; the one that ships with the extension when None.

    Raises
    ------
    ModelError
        When it cannot be read, is no catalogue (names up to three entries and fields at fault), or came over https and
        names an address without.
    DownloadError
        When its address cannot be reached.
    """
    if source is not None and is_web(str(source)):
        address = str(source)
        catalogue = parse_catalogue(read_bytes(address, most=_MOST_BYTES), source=shown_address(address))
        return _resolved(_never_to_plain(catalogue, address), address)
    if source is not None and "://" in str(source):
        raise ModelError(f"The catalogue {shown_address(str(source))} is neither a file nor an http(s) address.")
    path = Path(source) if source is not None else resource_path("Models", CATALOGUE)
    path = path / CATALOGUE if path.is_dir() else path
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"The catalogue {path} cannot be read: {error.strerror or error}.") from error
    if len(data) > _MOST_BYTES:
        raise ModelError(f"{path} is larger than {_MOST_BYTES / 1e6:.0f} MB; it is not a catalogue.")
    return _resolved(parse_catalogue(data, source=str(path)), path)


def parse_catalogue(data: bytes, *, source: str) -> Catalogue:
    """Check a catalogue's JSON; `source` is named in errors. Raises as `load_catalogue`."""
    content = parse_json(data, source=f"The catalogue {source}")
    try:
        return Catalogue.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = "; ".join(_short(f"{_place(content, fault['loc'])}: {fault['msg']}") for fault in faults[:_NAMED_FAULTS])
        more = f"; and {len(faults) - _NAMED_FAULTS} more" if len(faults) > _NAMED_FAULTS else ""
        raise ModelError(f"The catalogue {source} does not follow its schema: {told}{more}.") from error


def _short(text: str) -> str:
    """Cut what quotes the file at length."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def catalogue_schema() -> dict[str, Any]:
    """Return the JSON schema of a catalogue file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AcuteFindings model catalogue",
        **Catalogue.model_json_schema(by_alias=True) | {"title": "AcuteFindings model catalogue"},
    }


def catalogue_text(catalogue: Catalogue) -> str:
    """Return a catalogue as it is written to its file."""
    return json.dumps(catalogue.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"


def _never_to_plain(catalogue: Catalogue, address: str) -> Catalogue:
    """Refuse addresses without encryption in a catalogue that came encrypted."""
    if urlsplit(address).scheme.lower() != "https":
        return catalogue
    for entry in catalogue.models:
        plain = [url for url in getattr(entry.source, "urls", ()) if urlsplit(url).scheme.lower() == "http"]
        if plain:
            raise ModelError(
                f"The catalogue {shown_address(address)} came over https and names {shown_address(plain[0])} for the "
                f"model {entry.id!r}, which is not encrypted; its maintainer must use https there."
            )
    return catalogue


def _resolved(catalogue: Catalogue, base: str | Path) -> Catalogue:
    models = []
    for entry in catalogue.models:
        if isinstance(entry.source, ArchiveSource):
            urls = [_absolute(url, base) for url in entry.source.urls]
            # Not validated again: the paths are absolute now.
            entry = entry.model_copy(update={"source": entry.source.model_copy(update={"urls": urls})})
        models.append(entry)
    return catalogue.model_copy(update={"models": models})


def _absolute(url: str, base: str | Path) -> str:
    if is_web(url):
        return url
    return str(base.absolute().parent / url) if isinstance(base, Path) else urljoin(base, url)


def _place(content: Any, loc: tuple[int | str, ...]) -> str:
    """Return where a fault is in words: the model's own id rather than its number."""
    parts = list(loc)
    if len(parts) >= 2 and parts[0] == "models" and isinstance(parts[1], int):
        entry = content["models"][parts[1]]
        name = entry.get("id", f"number {parts[1] + 1}") if isinstance(entry, dict) else f"number {parts[1] + 1}"
        field = ".".join(str(part) for part in parts[2:])
        return f"model {name!r}" + (f", field {field!r}" if field else "")
    return f"field {'.'.join(str(part) for part in parts)!r}" if parts else "models"
