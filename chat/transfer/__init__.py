"""Export and import of chats, one file per format, without Django.

    export:  database ── actions.chat_export ──> Chat ── steady.dump / markdown.write ──> file
    import:  file ── reader (its own process) ──> lines of steady.dump ── actions.import_chat ──> database

`chats` has the plain values between the two sides. A foreign file is read in a process with limited memory
and CPU time, so a hostile one harms nobody.
"""
