"""What a test should fail of, though the application goes on."""

errors: list[BaseException] = []
"""What Python functions raised while Qt called them, signals that do not exist, dialogs without an answer."""
