"""Packages made ready for others: as zip files with a catalogue beside them, for a web server or a shared folder."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from AcuteFindingsLib.files import replace_when_written
from AcuteFindingsLib.models.download.catalogue import (
    CATALOGUE,
    SCHEMA,
    ArchiveSource,
    Catalogue,
    CatalogueEntry,
    ShippedSource,
    catalogue_schema,
    catalogue_text,
    parse_catalogue,
)
from AcuteFindingsLib.models.files import CHECKSUMS, METADATA, file_sha256
from AcuteFindingsLib.models.package import ModelPackage, read_package

# The oldest day that zip files know: the same package gives the same archive on every day.
_DAY = (1980, 1, 1, 0, 0, 0)


def write_mirror(packages: Iterable[ModelPackage], out: Path) -> Path:
    """Write each package as a zip file, and `catalogue.json` with addresses relative to itself; return its path.

    Packages are verified first. Served by any web server, or as a shared folder, the folder is a catalogue for
    ``--catalogue``.
    """
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for package in packages:
        package.verify_files()
        archive = pack_package(package, out)
        source = ArchiveSource(
            kind="archive", urls=[archive.name], size=archive.stat().st_size, sha256=file_sha256(archive)
        )
        entries.append(_entry(package, source))
    return _write(Catalogue(models=entries), out)


def pack_package(package: ModelPackage, out: Path) -> Path:
    """Write one package to ``ID-VERSION.zip``, in a folder of its id, as MONAI's bundle specification asks."""
    target = out / f"{package.id}-{package.version}.zip"
    with replace_when_written(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted([*package.checksums, CHECKSUMS]):
            entry = zipfile.ZipInfo(f"{package.id}/{name}", _DAY)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, (package.folder / name).read_bytes())
    return target


def refresh_catalogue(folder: Path) -> Path:
    """Bring the entries of shipped models in a folder's `catalogue.json` up to date with the packages beside it.

    Entries of other kinds stay as they are; the schema file is written too.
    """
    path = folder / CATALOGUE
    others = []
    if path.is_file():
        listed = parse_catalogue(path.read_bytes(), source=str(path)).models
        others = [entry for entry in listed if not isinstance(entry.source, ShippedSource)]
    shipped = []
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or not (place / METADATA).is_file():
            continue
        package = read_package(place)
        size = (place / package.weights).stat().st_size
        shipped.append(_entry(package, ShippedSource(kind="shipped", size=size, sha256=package.sha256)))
    return _write(Catalogue(models=[*shipped, *others]), folder)


def _entry(package: ModelPackage, source: ArchiveSource | ShippedSource) -> CatalogueEntry:
    card = package.card
    own = f"AcuteFindings model {package.id}, version {package.version}"
    return CatalogueEntry(
        id=package.id,
        tasks=[card.task],
        title=card.title,
        version=package.version,
        license=card.license,
        citations=list(card.sources) or [own],
        source=source,
    )


def _write(catalogue: Catalogue, folder: Path) -> Path:
    schema = json.dumps(catalogue_schema(), indent=2, ensure_ascii=False) + "\n"
    for name, text in ((SCHEMA, schema), (CATALOGUE, catalogue_text(catalogue))):
        with replace_when_written(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return folder / CATALOGUE
