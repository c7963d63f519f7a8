"""Public models that come with a package of their own, used through it once the user has agreed to their terms."""
