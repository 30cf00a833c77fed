"""The inbox in Redis: the stream `amili:inbox` between the door and the drain.

`appending` is the door's side (async, one script for each group of deliveries), `stream`
the drain's (sync). Redis is not the judge of duplicates: its keys only save work. May
import `service.domain` and below.
"""
