"""What an operator does and sees: the same for the API and the command line.

Writing here means: a row, a nudge, a bell. Only workers compare and plan. `shapes` gives
every record the JSON form that others rely on. May import floors 0 to 4.
"""
