"""Our own words: entities, causes, records, holds, actions, decisions, and the level of a case.

Pure: no I/O, `now` is an argument. May import `service.errors` and floor 1; may be
entered by everybody above.
"""
