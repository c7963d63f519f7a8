"""The look at a data set before anything is trained: counts, classes, people, sizes, pictures; as a page and JSON."""
