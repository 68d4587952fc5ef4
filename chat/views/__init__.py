"""Pages and htmx fragments, one file per resource. A view parses, authorises through `access`, calls an
action and answers; what an action refuses becomes its status and its words."""
