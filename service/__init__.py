"""amili-events: the webhooks of Amili AutoCollect, exactly once in effect.

The house, floor by floor (imports go down only; import-linter keeps it):

    6  web, cli                        skins: translate, decide nothing
    5  intake, desk                    use cases: the door's, the operator's
    4  store, amili.client, inbox, queue   one room per outside thing
    3  policies                        which follow-up when, and why; pure
    2  domain                          our words; pure
    1  amili (webhooks, resources, signing, contract), telemetry, settings, redis
    0  errors

`sandbox` is a second witness that plays Amili; it enters no other room.
"""
