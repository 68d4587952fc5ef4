"""Stages over an async iterator of provider events: retry, timeouts, transform, validate, meter.

A leaf: it knows `chat.providers`' events and errors, and nothing of Django, the database or HTML.
"""
