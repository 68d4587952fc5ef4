"""Delivery: what is happening now, to those who may see it. Knows nothing of HTML, and nothing of how a
reply is made. Everything here may be lost at any time: the database is the record."""
