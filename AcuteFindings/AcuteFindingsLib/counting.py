"""Counts in sentences: one study, two studies."""


def plural(word: str) -> str:
    """Return the word for several: slices, studies."""
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def counted(count: int, word: str) -> str:
    """Return a count with its word: 1 study, 2 studies."""
    return f"{count} {word if count == 1 else plural(word)}"
