"""The gateway: readings that come over HTTP, as they are measured, to the topic.

`names` knows what senders call the columns, `bodies` reads what was posted, `delivery` gives it to the broker, `edge`
is the HTTP of it, and `serve` runs all that in a process.
"""
