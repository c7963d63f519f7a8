"""Sample studies, made on the user's machine."""
