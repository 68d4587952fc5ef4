"""The doors for live delivery: the WebSocket consumer and the SSE view, on one and the same feed."""
