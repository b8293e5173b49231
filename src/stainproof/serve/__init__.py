"""The server: predictions over HTTP, and a page for reviewing cells. Needs the extra `serve`."""
