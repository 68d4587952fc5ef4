"""Model providers behind one protocol.

A leaf package: it uses the providers' SDKs and wire formats, but no Django, database or HTML.
"""
