"""Every write that a person can cause. An action authorises through `chat.access`, writes one
transaction, and tells the world on its commit. It takes and returns values and models, never requests,
frames or HTML. What it refuses it refuses with an `ActionError`, before anything is written."""
