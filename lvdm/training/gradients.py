"""The sum of the gradients of several processes."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch import distributed as dist

from lvdm.training.distributed import Processes

# As torch's DistributedDataParallel has it: large enough for the network, and small enough to start early.
_BUCKET_BYTES = 25 * 2**20


class GradientSum:
    """Adds up the gradients of ``parameters`` over the processes of a training.

    Between :meth:`start`, before the last batch of a step, and :meth:`finish`, gradients travel in buckets while
    backward passes still compute others. There may be several such passes, each over some of the parameters; a
    parameter that has a gradient in one process must have one in all. ``parameters`` are best given in the order
    in which their gradients come. With one process this does nothing at all.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], processes: Processes):
        self._processes = processes
        self._buckets = _buckets(parameters) if processes.size > 1 else []
        self._bucket_of = {parameter: n for n, bucket in enumerate(self._buckets) for parameter in bucket}
        self._missing: list[int] = []
        self._next = len(self._buckets)  # the first bucket that waits for gradients to be sent
        self._sent: list[tuple[list[nn.Parameter], list[Tensor], dist.Work]] = []
        for parameter in self._bucket_of:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def start(self) -> None:
        """The gradients that arrive from here on are the last of this step."""
        self._missing = [len(bucket) for bucket in self._buckets]
        self._next = 0

    def finish(self) -> None:
        """Send what has not been sent, and put the sums in place of the gradients."""
        while self._next < len(self._buckets):
            self._send()
        for parameters, sums, work in self._sent:
            self._processes.wait(work)
            for parameter, total in zip(parameters, sums, strict=True):
                parameter.grad = total
        self._sent = []

    def _arrived(self, parameter: nn.Parameter) -> None:
        if self._next == len(self._buckets):  # not the last batch of a step
            return
        self._missing[self._bucket_of[parameter]] -= 1
        # In the order of the buckets, which is one and the same in all processes.
        while self._next < len(self._buckets) and self._missing[self._next] == 0:
            self._send()

    def _send(self) -> None:
        parameters = [parameter for parameter in self._buckets[self._next] if parameter.grad is not None]
        self._next += 1
        if not parameters:
            return
        gradients = [parameter.grad for parameter in parameters]
        ends = list(accumulate(gradient.numel() for gradient in gradients))
        flat = gradients[0].new_empty(ends[-1])
        # In the layout of each gradient, which an optimiser's fused kernel wants to be that of the parameter.
        sums = [
            flat[end - gradient.numel() : end].as_strided(gradient.shape, gradient.stride())
            for gradient, end in zip(gradients, ends, strict=True)
        ]
        torch._foreach_copy_(sums, gradients)
        self._sent.append((parameters, sums, self._processes.reduce(flat)))


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters in their order, in groups of some megabytes and of one type."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in parameters:
        if room < parameter.nbytes or buckets[-1][-1].dtype != parameter.dtype:
            buckets.append([])
            room = _BUCKET_BYTES
        buckets[-1].append(parameter)
        room -= parameter.nbytes
    return buckets
