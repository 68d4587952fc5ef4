"""Delivers what happens to the viewers that may see it. It does not know HTML, nor how a reply is produced.
Everything here may be lost at any time: the database is the record."""
