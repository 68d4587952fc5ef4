"""The only app of Steady. `docs/architecture.md` describes its packages."""
