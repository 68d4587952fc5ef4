"""Model providers behind one protocol (`base.Provider`).

A leaf package: it uses the providers' SDKs and wire formats, but no Django, database or HTML.
"""
