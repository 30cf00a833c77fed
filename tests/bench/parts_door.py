"""The door's lines: throughput against the others, durability, and latency at half the rate."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.bench import door, doors, memory, plan
from tests.bench.door import Turn
from tests.bench.doors import Door
from tests.bench.figures import Target, ratios
from tests.bench.options import Options
from tests.bench.results import Line, Results

MANY = 128
MEGABYTE = 1e6
DOORS = (doors.OURS, doors.CEILING, doors.TUTORIAL, doors.WEBHOOK, doors.DJ_STRIPE, doors.CELERY)


def able(results: Results, section: str, contestants: Sequence[Door]) -> list[Door]:
    """Return those that can take part here; say why the others cannot."""
    found = []
    for each in contestants:
        if why := each.lack():
            results.skip(f"{section}: {each.name}", why)
        else:
            results.notes[section, each.name] = f"{each.words}; kept: {each.durability}"
            found.append(each)
    return found


def turn(results: Results, section: str, contestant: Door, options: Options, many: int) -> None:
    """Give one contestant one turn, as fast as it goes."""
    try:
        taken = door.fastest(contestant, options.seconds, many)
    except Exception as exc:  # one that fails must not end the others
        results.fail(f"{section}: {contestant.name}", exc)
        return
    note(results, section, contestant.name, taken)


def note(results: Results, section: str, name: str, taken: Turn) -> None:
    """Keep the figures of a turn at a door."""
    results.generators.add(taken.loaded.generator)
    results.add(
        section,
        name,
        webhooks_a_second=taken.loaded.rate,
        p50_ms=taken.loaded.p50_ms,
        p99_ms=taken.loaded.p99_ms,
        cpu_us_a_request=taken.cpu_us,
        door_cores=taken.door_cores,
        redis_cores=taken.redis_cores,
        generator_cores=taken.loaded.generator_cores,
        largest_process_mb=taken.peak / MEGABYTE,
    )


def throughput(results: Results, options: Options) -> None:
    """Measure accepted webhooks a second."""
    contestants = able(results, "door", DOORS)
    for _ in plan.turns(results, options, "door"):
        for each in contestants:
            turn(results, "door", each, options, options.connections)
    rates = {each.name: results.of("door", each.name, "webhooks_a_second") for each in contestants}
    ours = rates[doors.OURS.name]
    for other, bound in ((doors.TUTORIAL, 7.0), (doors.CEILING, 0.75)):
        against = ratios(ours, rates[other.name])
        words = f"accepted webhooks a second, against {other.name}"
        results.line(Line(words, Target(bound, at_least=True), against))


def durability(results: Results, options: Options) -> None:
    """Compare disk with memory, at many connections."""
    pair = able(results, "durability", (doors.OURS, doors.OURS_IN_MEMORY))
    for _ in plan.turns(results, options, "durability"):
        for each in pair:
            turn(results, "durability", each, options, MANY)
    disk, memory = (results.of("durability", each.name, "webhooks_a_second") for each in pair)
    words = f"AOF always and disk, at {MANY} connections, against everysec and memory"
    results.line(Line(words, Target(0.8, at_least=True), ratios(disk, memory)))


def latency(results: Results, options: Options) -> None:
    """Compare p99 with the ceiling's, both at half of our own maximum rate."""
    if not results.of("door", doors.OURS.name, "webhooks_a_second"):
        turn(results, "door", doors.OURS, options, options.connections)
    found = results.of("door", doors.OURS.name, "webhooks_a_second")
    if not found:
        return
    rate = median(found) / 2
    for _ in plan.turns(results, options, "latency"):
        for each in (doors.OURS, doors.CEILING):
            try:
                taken = door.at_rate(each, rate, options.seconds, options.connections)
            except Exception as exc:  # as above
                results.fail(f"latency: {each.name}", exc)
                continue
            note(results, "latency", each.name, taken)
    ours, ceiling = (
        results.of("latency", each.name, "p99_ms") for each in (doors.OURS, doors.CEILING)
    )
    words = "p99 of the door at half of its own maximum rate, against (a) at the same rate"
    detail = f"{rate:,.0f} webhooks a second"
    results.line(Line(words, Target(3.0, at_least=False), ratios(ours, ceiling), detail))


def growth(results: Results, options: Options) -> None:
    """Measure how the door grows. Once: it is long enough."""
    seen = memory.grow(options.webhooks)
    results.add("memory", "ours, the door", warm_mb=seen.before / MEGABYTE)
    for size in seen.sizes:
        results.add("memory", "ours, the door", after_each_tenth_mb=size / MEGABYTE)
    words = f"door: growth of resident memory over {seen.webhooks:,} webhooks, MB"
    grown = (seen.after - seen.before) / MEGABYTE
    detail = f"after a warm-up of {seen.webhooks // memory.SLICES:,}"
    results.line(Line(words, Target(10, at_least=False), [grown], detail, digits=1))
