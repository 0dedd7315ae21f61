"""The cost model of a plan's step, from its sizes alone, and the strategy that it suggests."""

from __future__ import annotations

from pybackprop.core import native
from pybackprop.nn.network import Network

SMALL_STEP = 400_000  # operations; below this, calls cost more than arithmetic, and a second thread does not pay
BALANCE = 10  # operations that a processor does while it reads one byte from memory, roughly
CACHED = 2**20  # bytes that stay in a cache from one step to the next
WEIGHTS_SHARE = 3  # the weights of a fused pass take at most the L2 cache's size divided by this
ROWS_EACH = 16  # for each thread, at least, where threads share a step's rows
SEGMENTS_EACH = 2  # for each thread, at least: one that is held up by other programs leaves the rest to the others
MOST_WAITING = 1.25  # rows of the thread that has most of them, as a multiple of an even share
NARROW = 120  # inputs or outputs of each layer; wider layers are faster if all rows pass each before the next
LARGE = 2**25  # bytes of activations that a fused pass saves, even if it is slower


class CostModel:
    """flops: operations of a full step's forward and backward, zeros included; nbytes: bytes read and written."""

    batch: int
    itemsize: int
    sizes: list[tuple[int, ...]]
    flops: int
    nbytes: int

    def __init__(self, network: Network, batch: int) -> None:
        stages, self.batch, self.itemsize = network.stages, batch, network.dtype.itemsize
        self.sizes = [stage.w.shape for stage in stages]
        trained = [any(p.requires_g for p in stage.parameters()) for stage in stages]
        lowest = trained.index(True) if True in trained else len(stages)
        products = [1 + stage.w.requires_g + (k > lowest) for k, stage in enumerate(stages)]
        self.flops = sum(2 * batch * m * h * count for (m, h), count in zip(self.sizes, products, strict=True))
        weights = sum(m * h * count for (m, h), count in zip(self.sizes, products, strict=True))
        data = batch * (2 * self.sizes[0][0] + 2 * self.sizes[-1][1])
        activations = sum(6 * batch * h for _, h in self.sizes)
        self.nbytes = (weights + data + activations) * self.itemsize

    @property
    def bound(self) -> str:
        """What limits the speed: latency, memory or compute."""
        if self.flops < SMALL_STEP:
            return "latency"
        return "memory" if self.nbytes > CACHED and self.flops < BALANCE * self.nbytes else "compute"

    def choose(self, wish: str | None) -> tuple[str, str]:
        """(strategy, why). Raises ValueError for one that is not known."""
        if wish is None:
            return self._fastest()
        if wish not in native.STRATEGIES:
            raise ValueError(f"compile: found strategy {wish!r}, expected one of {', '.join(native.STRATEGIES)}")
        return wish, "as requested"

    def _fastest(self) -> tuple[str, str]:
        weights = sum(m * h for m, h in self.sizes) * self.itemsize
        cache = int(native.lib.bp_second_cache())
        if weights > cache // WEIGHTS_SHARE:
            return self._few(f"the weights, {weights:,} bytes, are too large for a pass within the L2 cache")
        if self._waiting() > MOST_WAITING:
            return self._few(f"passes over segments of {native.SEGMENT} rows would keep some threads waiting")
        widest = max(min(size) for size in self.sizes)
        if widest > NARROW and 3 * self.batch * sum(h for _, h in self.sizes) * self.itemsize <= LARGE:
            return self._few(f"{widest} inputs and outputs are too many for a pass within the first caches")
        return "fused", f"the weights stay in the L2 cache during one pass over {self.batch:,} rows"

    def _waiting(self) -> float:
        """How many times an even share of the rows one thread has where segments are dealt out."""
        threads, segment = int(native.lib.bp_threads()), native.SEGMENT
        if self.batch < SEGMENTS_EACH * segment * threads:
            return float("inf")
        before = (self.batch - 1) // segment // threads * threads  # in the rounds before the last
        return (before // threads * segment + min(segment, self.batch - before * segment)) * threads / self.batch

    def _few(self, why: str) -> tuple[str, str]:
        """The strategy if a fused pass does not pay."""
        least = ROWS_EACH * int(native.lib.bp_threads())
        if self.batch < least and self.flops >= SMALL_STEP:
            return "layers", f"{why}; with so few rows, threads share the columns"
        return "split", why

    def describe(self) -> str:
        sizes = [self.sizes[0][0], *(h for _, h in self.sizes)]
        return (
            f"step: {self.batch} rows of {' → '.join(map(str, sizes))}\n"
            f"predicted: {self.flops:,} floating-point operations, {self.nbytes:,} bytes read and written, "
            f"{self.flops / max(self.nbytes, 1):.1f} operations per byte\n"
            f"bound: {self.bound}"
        )
