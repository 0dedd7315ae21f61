"""The cost model of a plan's step, from its sizes alone, and the strategy that it suggests."""

from __future__ import annotations

from pybackprop.core import native
from pybackprop.nn.network import Network

SMALL_STEP = 400_000  # operations that take less time than the way to them: no second thread is worth waking
BALANCE = 10  # operations that a processor makes while memory gives it one byte, about
CACHED = 2**20  # bytes that stay in a cache from one step to the next
WEIGHTS_SHARE = 3  # of the second cache, at most a part in so many is for weights in a fused pass
ROWS_EACH = 16  # for a thread, at least, where they share a step's rows
SEGMENTS_EACH = 2  # for a thread, at least, that all end at about the same time


class CostModel:
    """flops: operations of a full step's forward and backward, counted densely; nbytes: that it reads and writes."""

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
        return wish, "as asked for"

    def _fastest(self) -> tuple[str, str]:
        weights = sum(m * h for m, h in self.sizes) * self.itemsize
        cache = int(native.lib.bp_tiles_block())
        if weights > cache // WEIGHTS_SHARE:
            return self._few(f"the weights, {weights:,} bytes, leave no room for a pass in the second cache")
        most = SEGMENTS_EACH * native.SEGMENT * int(native.lib.bp_threads())
        if self.batch < most:
            return self._few(f"a pass needs {most:,} rows to keep all threads busy, {self.batch:,} are few")
        return "fused", f"the weights stay in the second cache while {self.batch:,} rows pass by once"

    def _few(self, why: str) -> tuple[str, str]:
        """The strategy where there is no pass over the rows."""
        least = ROWS_EACH * int(native.lib.bp_threads())
        if self.batch < least and self.flops >= SMALL_STEP:
            return "layers", f"{why}; and so few that threads share the columns"
        return "split", why

    def describe(self) -> str:
        sizes = [self.sizes[0][0], *(h for _, h in self.sizes)]
        return (
            f"step: {self.batch} rows of {' → '.join(map(str, sizes))}\n"
            f"predicted: {self.flops:,} floating-point operations, {self.nbytes:,} bytes read and written, "
            f"{self.flops / max(self.nbytes, 1):.1f} operations per byte\n"
            f"bound: {self.bound}"
        )
