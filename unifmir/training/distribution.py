"""Processes that share the steps of a training, their device and their precision: lightning-fabric.

A batch is the configuration's, however many processes there are. It is taken in parts; a process
computes the gradients of its own, each weighted by its share of the batch, and one sum over the
processes, of all gradients there are and of the loss, gives each the whole batch's. PyTorch's
DistributedDataParallel would search every step for the weights that its task leaves out, and
average parts of unlike sizes alike.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from unifmir import machine
from unifmir.devices import CPU, CUDA, Device, compute_in_full_fp32, device_named
from unifmir.errors import ClusterError, MissingExtraError
from unifmir.training.configuration import ProductType

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batch = Float[Tensor, "n ..."]
Part = tuple[Float[Tensor, "_ ..."], Float[Tensor, "_ ..."], float]
"""Inputs and targets of a part of a batch, and its weight in the batch's loss."""
Shared = TypeVar("Shared")


def by_torchrun() -> bool:
    """Whether torchrun has started this process, and decides how many there are."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first(count: int) -> bool:
    """Whether this process, of so many on this machine, is the one that talks and writes."""
    if by_torchrun():
        return os.environ.get("RANK", "0") == "0"
    # What lightning-fabric tells the processes that it starts.
    return count == 1 or os.environ.get("LOCAL_RANK", "0") == "0"


def most_processes(device: str) -> int:
    """Number of processes that there are cores, or GPUs, for."""
    there = device_named(device)
    return machine.available_cores() if there.is_cpu else there.kind.count()


class TrainingProcesses:
    """The processes of a training, seen from one of them.

    Parameters
    ----------
    device : str
        A name of `unifmir.devices`; with several processes the first of its kind are taken.
    precision : {"fp32", "bf16"}
    count : int
        Processes on this machine. Those that torchrun started are counted by themselves.

    Raises
    ------
    MissingExtraError
        lightning-fabric is not installed.
    """

    def __init__(self, device: str, precision: ProductType, count: int = 1) -> None:
        self.precision = precision
        self._device = device
        # Or "fp32" would be TF32 in convolutions on NVIDIA's GPUs.
        compute_in_full_fp32()
        self.fabric = _fabric(device_named(device), precision, count)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.fabric.world_size)

    @property
    def number(self) -> int:
        """Number of this one, from 0."""
        return int(self.fabric.global_rank)

    def launch(self) -> None:
        """Start the others, by the command that this one was started by, and wait for them all.

        Raises
        ------
        ClusterError
            They do not find each other.
        """
        with _together():
            self.fabric.launch()
        if self.number:
            logging.getLogger("unifmir").setLevel(logging.ERROR)  # the first one has said it

    def alone(self) -> "TrainingProcesses":
        """Processes of which there is one: this one without the others, on the same device."""
        return TrainingProcesses(self._device, self.precision)

    def shared(self, value: Shared) -> Shared:
        """The first process's value, in every process.

        Raises
        ------
        ClusterError
            One of them has ended.
        """
        if self.count == 1:
            return value
        with _together():
            return self.fabric.broadcast(value)

    def wait(self) -> None:
        """Wait until all processes are here."""
        with _together():
            self.fabric.barrier()

    def add_up(self, gradients: Sequence[Tensor], loss: Tensor) -> Tensor:
        """Sum the gradients of all processes, in place, and their losses.

        Parameters
        ----------
        gradients : sequence of Tensor, any shapes, float
            Of the same weights in every process; any values.
        loss : Tensor, shape (), float
            Any value.

        Returns
        -------
        Tensor, shape (), float
            The sum of the losses.
        """
        if self.count == 1:
            return loss
        with _together():
            numbers = self.fabric.all_reduce(
                parameters_to_vector([*gradients, loss]), reduce_op="sum"
            )
        assert isinstance(numbers, Tensor)  # noqa: S101 - one tensor goes in
        vector_to_parameters(numbers[:-1], gradients)
        return numbers[-1]

    def close(self) -> None:
        """Leave the others."""
        if self.count > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def fitting_precision(device: str) -> ProductType:
    """The faster precision of a device: bf16 where it multiplies in it.

    The losses of a training's first steps lie within 3 % of those in fp32 (a test); how good the
    results of whole trainings are beside each other was not measured.
    """
    kind = device_named(device).kind
    if kind is CPU:
        return "bf16" if "avx512_bf16" in machine.processor_features() else "fp32"
    if kind is not CUDA:
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def parts_of(
    inputs: Batch, targets: Batch, weights: Float[Tensor, " n"], count: int, number: int, of: int
) -> list[Part]:
    """The parts of a batch that one of several processes takes, one at least.

    Parameters
    ----------
    inputs, targets : Tensor, shape (N, ...), float
        The batch.
    weights : Tensor, shape (N,), float
        How much each image counts, none negative.
    count : int
        Parts for each process, if there are as many images.
    number, of : int
        Which process, of how many.
    """
    cut = [part.tensor_split(count * of) for part in (inputs, targets, weights)]
    parts = [
        (one, other, float(weight.sum() / weights.sum()))
        for one, other, weight in zip(*cut, strict=True)
    ]
    mine = [part for part in parts[number::of] if len(part[0])]
    # One that counts nothing gives gradients of zeros for the weights that the others have some of.
    return mine or [(parts[0][0], parts[0][1], 0.0)]


@contextmanager
def _together() -> Iterator[None]:
    """Say what has happened where a process does not answer."""
    try:
        yield
    except RuntimeError as error:
        raise ClusterError(
            "a process of the training has ended or cannot be reached "
            f"({_first_sentence(error)}); see what it has said, and go on with --resume"
        ) from error


def _first_sentence(error: RuntimeError) -> str:
    """Cause of an error of gloo or NCCL, without the advice that follows it."""
    return f"{str(error).partition('. ')[0]:.300}"


def _fabric(device: Device, precision: ProductType, count: int) -> "Fabric":
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    except ImportError as error:
        raise MissingExtraError(
            "training needs lightning-fabric: pip install 'unifmir[train]'"
        ) from error
    # What it has to say is said by the command that trains.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    options: dict[str, Any] = {"devices": [device.index] if device.kind is CUDA else 1}
    if by_torchrun():
        options = {
            "devices": int(os.environ["LOCAL_WORLD_SIZE"]),
            "num_nodes": int(os.environ["GROUP_WORLD_SIZE"]),
            "strategy": "ddp",
        }
    elif count > 1:
        # Not Slurm's, which would wait for processes that nobody starts.
        options = {"devices": count, "strategy": "ddp", "plugins": LightningEnvironment()}
    return Fabric(
        accelerator=device.kind.name,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        **options,
    )
