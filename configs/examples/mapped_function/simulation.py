"""A function that is called with many sets of parameters, and one for all its results."""

from typing import Any


def run(parameters: dict[str, float]) -> dict[str, Any]:
    """Roll so many dice so often, in a way that is the same each time."""
    state = int(parameters["seed"])
    counts: dict[str, int] = {}
    for _ in range(int(parameters["rolls"])):
        total = 0
        for _ in range(int(parameters["dice"])):
            state = (1_103_515_245 * state + 12_345) % 2**31
            total += 1 + (state >> 16) % 6
        counts[str(total)] = counts.get(str(total), 0) + 1
    print(f"seed {parameters['seed']:g}: {len(counts)} different sums")
    return {"counts": counts}


def postprocess(results: list[dict[str, Any]]) -> dict[str, int]:
    """How often each sum came in all simulations together."""
    counts: dict[str, int] = {}
    for result in results:
        for total, count in result["counts"].items():
            counts[total] = counts.get(total, 0) + count
    return dict(sorted(counts.items(), key=lambda item: int(item[0])))
