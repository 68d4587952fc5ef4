"""HTML: what a message looks like, whole or growing. It knows the live rooms' changes and the templates,
and nothing of sockets, requests or who looks."""
