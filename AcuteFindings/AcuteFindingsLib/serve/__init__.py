"""A web page and an HTTP API: studies are uploaded, read as jobs over the engines of the worklist, and shown."""
