"""Steady's one app. Each package below is a room; `docs/architecture.md` draws the house."""
