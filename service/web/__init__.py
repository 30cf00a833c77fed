"""The door's HTTP skin: it translates and decides nothing.

`app` puts the parts together; `webhooks` is the endpoint that Amili calls; `health` tells
how the door is; `api` is the operator's; `problems` turns every error into RFC 9457.
"""
