"""Live delivery to browsers: the WebSocket consumer and the SSE view, both on the same feed."""
