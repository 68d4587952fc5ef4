"""Every write that a user can cause. An action checks access through `chat.access`, writes in one transaction
and publishes the change after the commit. It takes and returns values and models, never requests, frames or
HTML. It raises an `ActionError` to refuse a request, before it writes anything."""
