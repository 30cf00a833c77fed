"""Amili's words: what its webhooks, records, signatures and addresses mean.

Enter from any floor above. The four modules here are pure and import only
`service.errors`, pydantic and each other's types; `client/` is the one room
that speaks HTTP and is four floors up. Every fact carries its mark: [doc] and
[seed] were read in Amili's documentation, [assumed] was read nowhere and can
be replaced through `contract.Contract`.
"""
