"""An imitation of Amili AutoCollect, shipped with the product: `amili-events sandbox`.

It is a second witness, written from the contract (`amili-contract.md`) and not from our client,
so that one misreading cannot be on both sides. It may import nothing of ours but
`service.settings`; only `service.cli` and tests may enter, through `server` (run, serve),
`app` (create_app), `world` (World) and `harness` (SandboxServer).

    wire, tables, agenda, errors              small tools, each of one thing
    behaviour, faults                         what a tester can turn and order
    journal, tokens, limits, asking           what came, who is let in, how often; question, answer
    outbox, courier                           webhooks: what is said, how it is carried
    world                                     the state that all the rest works on
    cases, invoices, settlements              the records and how they change
    steps                                     what a creditor asks of a case
    batches, items, moves                     a submission, its items, the amounts that they move
    pages, reads, writes, legacy, operations  Amili's API, operation by operation
    answers, api                              the API over HTTP: who gets which answer
    control, knobs, control_routes            the tester's hand, in Python and over HTTP
    app, server, harness                      sockets
"""
