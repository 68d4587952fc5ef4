"""Renders HTML: whole messages, growing messages and fragments. This package knows the changes of `live` and
the templates. It must not know sockets, requests or the viewer."""
