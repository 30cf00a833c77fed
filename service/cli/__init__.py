"""The command line: `amili-events …`. It translates and decides nothing.

One file for each group of commands, all put together in `main`. May import every room of
`service`; `workers` is started as a process of its own, never imported.
"""
