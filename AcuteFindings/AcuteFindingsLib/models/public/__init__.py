"""Public models: where they lie, what they are, and how one becomes a package here. Nothing of this imports torch."""
