"""Misconfiguration, told before it hurts: each check has an id and names the fix."""
