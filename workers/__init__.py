"""The work behind the door, in processes of its own: drain, look, act, sweep.

`python -m workers` starts a supervisor with one RQ worker for each queue and a sweeper.
The stations of an event, each with its file:

    drain      stream and spool → rows of the inbox
    flow       looks at all that is due, without a pause
    looking    one look: claim due entities → fetch → apply
    applying   one transaction: snapshot → handlers → policies → state, holds, plans
    acting     one call to Amili for each planned action, through the ledger
    sweeping   whatever a crash left behind, found again

`handlers` are pure. May import floors 0 to 4 of `service`.
"""
