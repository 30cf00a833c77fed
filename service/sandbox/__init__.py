"""An imitation of Amili AutoCollect, shipped with the product: `amili-events sandbox`.

It is a second witness, written from the contract (`amili-contract.md`) and not from our client,
so that one misreading cannot be on both sides. It may import nothing of ours but
`service.settings`; only `service.cli` and tests may enter, through `server` (run, serve),
`app` (create_app), `world` (World) and `harness` (SandboxServer).

    wire, behaviour, faults, tables, agenda, journal, tokens, errors
                                                          small tools, each of one thing
    outbox, courier                                       webhooks: what is said, how it is carried
    world                                                 the state that all the rest works on
    cases, steps, invoices, items, batches, settlements   what happens to the records
    asking, reads, writes, operations                     Amili's API, operation by operation
    control, knobs, control_routes                        the tester's hand, in Python and over HTTP
    app, server, harness                                  sockets
"""
