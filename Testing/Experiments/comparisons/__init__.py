"""The comparisons of the source papers, repeated on phantoms."""
