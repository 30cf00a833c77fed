"""`doctor`: is this installation well, and which assumptions about Amili hold?

Each check is a small function with a time-out; a part that is away makes the checks that need it
«skipped». Amili is only read, and nothing there is changed. One repair is made here: the store
epoch. `examining` runs everything, `assumptions` lists what is assumed.
"""
