"""SQLite for a process that notices when its file is deleted or replaced."""
