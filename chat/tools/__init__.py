"""Tools that models may call: functions of this server, and those of MCP servers.

A leaf package: no Django and no database. A tool gets a user's data through `base.Caller`.
"""
