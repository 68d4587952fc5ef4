"""Django's database backends, with what a server that promises to lose nothing needs on top."""
