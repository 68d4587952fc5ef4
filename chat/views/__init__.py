"""Pages and htmx fragments, one file for each resource. A view parses the request, checks access through
`access`, calls an action and responds. A refused action becomes its status and message."""
