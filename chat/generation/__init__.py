"""The making of a reply: from a queued row to one terminal state, whatever happens on the way.

    actions ── queued row ──> runner ── claims it ──> run ── context ──> pipeline ──> provider
                                │                      │
                                │                  ReplyLog ──> live.hub ──> viewers in this process
                                └── journal: each 250 ms one commit of all logs ──> database
                                └── recovery: each 3 s the orphans of dead processes end as interrupted

Knows nothing of HTML or of who watches.
"""
