"""Tools that models may call: functions of this server, and those of MCP servers.

A leaf package: no Django and no database. What a tool needs of a person's data is passed in by the caller.
"""
