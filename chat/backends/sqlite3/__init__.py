"""SQLite for a process that detects a deleted or replaced database file."""
