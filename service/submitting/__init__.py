"""Files and bodies of invoices, payments and corrections: read piece by piece, mapped, checked.

Nothing is kept and nothing is sent here. `examine` tells all that is wrong, `read` then gives the
items as they will be sent.
"""
