"""How much the door grows over very many webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from service.inbox import keys
from service.redis import connect
from tests.bench import bodies, door, load
from tests.bench.batches import resident
from tests.bench.doors import OURS, one_body
from tests.bench.stage import Broken

SLICES = 20
CONNECTIONS = 32
SLICE_SECONDS = 300.0


@dataclass(frozen=True)
class Growth:
    """Bytes that the door's largest process holds: after the first slice, and at the end."""

    webhooks: int
    before: int
    after: int


def grow(webhooks: int) -> Growth:
    """Send unique webhooks, slice by slice; between slices the stream is emptied, not the door."""
    of_slice = webhooks // SLICES
    sizes = []
    with door.opened(OURS, door.seed()) as it:
        client = connect(it.redis_url)
        for n in range(SLICES):
            numbers = range(n * of_slice, (n + 1) * of_slice)
            made = (OURS.signer.request(one_body(it.seed, number)) for number in numbers)
            bodies.write(it.aim.file, made)
            loaded = load.steady(it.aim, 0, SLICE_SECONDS, CONNECTIONS)
            if loaded.good != of_slice:
                raise Broken(f"the door took {loaded.good} of {of_slice}: {loaded.note}")
            client.xtrim(keys.STREAM, maxlen=0, approximate=False)
            sizes.append(max(map(resident, it.running.tree())))
        client.close()
    return Growth(of_slice * SLICES, sizes[0], sizes[-1])
