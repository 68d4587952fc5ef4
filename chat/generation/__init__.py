"""Produces a reply: from a queued generation to exactly one terminal state.

    actions ── queued row ──> runner ── claims it ──> run ── context ──> pipeline ──> provider
                                │                      │
                                │                  ReplyLog ──> live.hub ──> viewers in this process
                                ├── journal: each 250 ms one commit of all logs ──> database
                                └── recovery: each 3 s the orphans of ended processes end as interrupted

It does not know HTML, nor who watches. `chat.runtime` builds the runner, the journal and recovery.
"""
