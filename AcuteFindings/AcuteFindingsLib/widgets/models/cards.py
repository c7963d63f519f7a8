"""What a list shows of a model or a provider at length."""

from AcuteFindingsLib.models.files import CARD_TEXT
from AcuteFindingsLib.widgets.models.provider_rows import terms_text
from AcuteFindingsLib.widgets.models.rows import PROVIDER, ModelRow


def card_text(row: ModelRow) -> str:
    """Return the model card, Markdown; where there is none, what is known of the model."""
    if row.place == PROVIDER:
        return terms_text(row.folder)
    try:
        return (row.folder / CARD_TEXT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return f"# {row.title or row.id}\n\n{row.error}\n"
