"""The list and its studies over HTTP: an API, and a page that uses it."""
