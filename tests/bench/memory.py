"""How much the door grows over very many webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from service.inbox import keys
from service.redis import connect
from tests.bench import bodies, door, load
from tests.bench.doors import OURS, one_body
from tests.bench.stage import Broken
from tests.bench.watching import resident

#: One slice more, before these, warms the door up.
SLICES = 10
CONNECTIONS = 32
SLICE_SECONDS = 120.0


@dataclass(frozen=True)
class Growth:
    """Bytes that the door's largest process holds: when it is warm, and after each slice."""

    webhooks: int
    before: int
    sizes: list[int]

    @property
    def after(self) -> int:
        """What it holds in the end."""
        return self.sizes[-1]


def grow(webhooks: int) -> Growth:
    """Send unique webhooks, slice by slice; between slices the stream is emptied, not the door.

    Raises Broken unless every one is taken, and stands in the stream.
    """
    of_slice = webhooks // SLICES
    sizes = []
    with door.opened(OURS, door.seed()) as it, connect(it.redis_url) as client:
        for n in range(SLICES + 1):
            numbers = range(n * of_slice, (n + 1) * of_slice)
            made = (OURS.signer.request(one_body(it.seed, number)) for number in numbers)
            bodies.write(it.aim.file, made)
            loaded = load.steady(it.aim, 0, SLICE_SECONDS, CONNECTIONS)
            kept = int(client.xlen(keys.STREAM))
            if not loaded.good == kept == of_slice:
                raise Broken(f"{of_slice} sent, {loaded.good} taken, {kept} kept: {loaded.note}")
            client.xtrim(keys.STREAM, maxlen=0, approximate=False)
            sizes.append(max(map(resident, it.running.tree())))
    return Growth(of_slice * SLICES, sizes[0], sizes[1:])
