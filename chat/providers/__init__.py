"""The outside world: model providers behind one protocol.

A leaf: it knows the providers' SDKs and wire formats, and nothing of Django, the database or HTML.
"""
