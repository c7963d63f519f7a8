"""Counts and times in sentences: one study, two studies, about 12 minutes."""


def plural(word: str) -> str:
    """Return the word for several: slices, studies."""
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def counted(count: int, word: str) -> str:
    """Return a count with its word: 1 study, 2 studies."""
    return f"{count} {word if count == 1 else plural(word)}"


def about(seconds: float) -> str:
    """Return how long something takes, as roughly as it is known: about 40 seconds, about 12 minutes."""
    if seconds < 55:
        return f"about {counted(max(1, round(seconds) if seconds < 9.5 else 10 * round(seconds / 10)), 'second')}"
    return f"about {counted(round(seconds / 60), 'minute')}"
