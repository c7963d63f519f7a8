"""Providers in the list of models: chosen like a package, though their weights lie elsewhere."""

from pathlib import Path

from AcuteFindingsLib.models.evidence import SAW_PATIENTS_UNMEASURED
from AcuteFindingsLib.providers.registry import list_terms
from AcuteFindingsLib.providers.terms import Terms, read_terms
from AcuteFindingsLib.widgets.models.rows import PROVIDER, ModelRow


def provider_rows(task: str | None = None) -> list[ModelRow]:
    """List the providers for a task; for all tasks when None, each once."""
    return [_row(provider, task or provider.tasks[0]) for provider in list_terms(task)]


def provider_of(row: ModelRow) -> Terms | None:
    """Return the provider that a row stands for; None where it is a package."""
    return read_terms(row.folder) if row.place == PROVIDER else None


def terms_text(file: Path) -> str:
    """Return a provider's terms as Markdown."""
    title, *lines = read_terms(file).text.splitlines()
    return "\n\n".join([f"# {title}", *lines]) + "\n"


def _row(provider: Terms, task: str) -> ModelRow:
    return ModelRow(
        id=provider.id,
        task=task,
        title=provider.title,
        version=provider.installed_version(),
        size_mb=float(provider.weights_mb),
        license=provider.license,
        trained_on=provider.trained_on,
        phantoms_only=False,
        folder=provider.file,
        place=PROVIDER,
        rank=SAW_PATIENTS_UNMEASURED,
    )
