"""Full text search over the titles and messages of chats: one interface, with SQLite's FTS5 and
PostgreSQL's full text behind it.

`index` adds and removes entries, in the transaction that writes the text. `catch_up` adds entries that are
missing. `find` searches the chats that `chat.access` lists for a user, or all chats for the administration.
The package must not know HTML or requests.
"""

from chat.search.find import Found, FoundChat, Hit, search

__all__ = ["Found", "FoundChat", "Hit", "search"]
