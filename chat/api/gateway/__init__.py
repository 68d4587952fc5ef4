"""The gateway: the APIs of OpenAI and Anthropic, on the models of the catalog.

A program that knows one of these APIs uses Steady's address and a token as the key, and nothing else changes.
Each module translates one API: its requests into `ChatRequest`, and the provider's events into its events.
What an API has and the gateway or a provider does not is refused with that API's own error, never dropped.

It is an ASGI application of its own. Django's middleware is for pages: it is synchronous, so each request
would hold a thread while its model answers, and a closed connection would not end the view.
"""
