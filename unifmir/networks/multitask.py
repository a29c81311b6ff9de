"""Networks of all tasks: one body with five heads and tails, or a network for each task."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from unifmir.networks.base import Network
from unifmir.networks.padding import reflect_pad
from unifmir.networks.projection import Projector
from unifmir.networks.swin import SwinBody, conv_leaky, upsampler
from unifmir.networks.volume import ViewUNet


class UniFMIR(SwinBody):
    """All five tasks in one network, with the official state-dict keys (Ma et al. 2024, Fig. 1a).

    A closed set: each task has its heads and tails here, and a method. Unlike the official forward
    pass, results are cropped to the true size of the input. The body residual is added for sr,
    denoise and isotropic, and not for projection and volume.

    Parameters
    ----------
    embed_dim, depths, num_heads, window_size, mlp_hidden
        As for `SwinRestoration`; shared by all tasks.
    tail_features : int
        Channels between the body and the last convolution of tasks 1 to 4.
    volume_tail_features : int
        The same for volume.
    sr_channels, denoise_channels, isotropic_channels : int
        Planes each head reads.
    sr_scale : int
        Lateral magnification of sr.
    planes, features, blocks, match_features, random_features
        As for `Projector`.
    views, volume_planes, stem_features, entry_features, encoder
        As for `ViewUNet`.
    """

    kind = "multitask"

    def __init__(
        self,
        embed_dim: int = 90,
        depths: Sequence[int] = (6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: int = 8,
        mlp_hidden: int = 180,
        tail_features: int = 32,
        volume_tail_features: int = 90,
        sr_channels: int = 1,
        sr_scale: int = 2,
        denoise_channels: int = 5,
        isotropic_channels: int = 1,
        planes: int = 50,
        features: int = 256,
        blocks: int = 64,
        match_features: int = 64,
        random_features: int = 128,
        views: int = 121,
        volume_planes: int = 61,
        stem_features: int = 128,
        entry_features: int = 64,
        encoder: Sequence[int] = (128, 256, 512, 512, 512),
    ) -> None:
        super().__init__(embed_dim, depths, num_heads, window_size, mlp_hidden)
        self.sr_scale = sr_scale
        self.conv_firstsr = nn.Conv2d(sr_channels, embed_dim, 3, padding=1)
        self.upsamplesr = upsampler(tail_features, sr_scale)
        self.conv_firstdT = nn.Conv2d(denoise_channels, embed_dim, 3, padding=1)
        self.conv_firstiso = nn.Conv2d(isotropic_channels, embed_dim, 3, padding=1)
        self.project = Projector(planes, features, blocks, match_features, random_features)
        self.conv_firstproj = nn.Conv2d(1, embed_dim, 3, padding=1)
        self.conv_first0 = ViewUNet(views, volume_planes, stem_features, entry_features, encoder)
        self.conv_firstv = nn.Conv2d(volume_planes, embed_dim, 3, padding=1)
        self.conv_before_upsamplev = conv_leaky(embed_dim, volume_tail_features)
        self.conv_lastv = nn.Conv2d(volume_tail_features, volume_planes, 3, padding=1)
        self.conv_before_upsample0 = conv_leaky(embed_dim, tail_features)
        self.conv_last0 = nn.Conv2d(tail_features, 1, 3, padding=1)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Restore images of one task.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            The task's normalised network input, any size.
        task : {"sr", "denoise", "isotropic", "projection", "volume"}

        Returns
        -------
        Tensor
            Shape (N, 1, sr_scale * H, sr_scale * W) for sr, (N, volume_planes, n * H, n * W) for
            volume with n * n views, (N, 1, H, W) otherwise.
        """
        return self.stages(x, task)[-1]

    def stages(self, x: Tensor, task: str) -> tuple[Tensor, ...]:
        """Outputs in turn of the networks of a task, normalised.

        Returns
        -------
        tuple of Tensor
            (result,), or (first stage, result) for projection and volume, with the shape of
            `forward`'s result each.
        """
        restore = getattr(self, f"_restore_{task}", None)
        if restore is None:
            raise ValueError(f"unknown task {task!r}: sr, denoise, isotropic, projection or volume")
        stages: tuple[Tensor, ...] = restore(x)
        return stages

    def _restore_sr(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self._features(self.conv_firstsr, x)
        result = self.conv_last0(self.upsamplesr(self.conv_before_upsample0(features)))
        return (_cropped(result, x, self.sr_scale),)

    def _restore_denoise(self, x: Tensor) -> tuple[Tensor, ...]:
        return (_cropped(self._shared_tail(self._features(self.conv_firstdT, x)), x),)

    def _restore_isotropic(self, x: Tensor) -> tuple[Tensor, ...]:
        return (_cropped(self._shared_tail(self._features(self.conv_firstiso, x)), x),)

    def _restore_projection(self, x: Tensor) -> tuple[Tensor, ...]:
        plane: Tensor = self.project(x)
        features = self._features(self.conv_firstproj, plane, residual=False)
        return plane, _cropped(self._shared_tail(features), x) + plane

    def _restore_volume(self, x: Tensor) -> tuple[Tensor, ...]:
        magnification = self.conv_first0.magnification
        volume: Tensor = self.conv_first0(reflect_pad(x, self.window_size))
        features = self.enhance(self.conv_firstv(volume), False)
        result = self.conv_lastv(self.conv_before_upsamplev(features))
        return tuple(_cropped(stage, x, magnification) for stage in (volume, result))

    def _features(self, head: nn.Module, x: Tensor, *, residual: bool = True) -> Tensor:
        return self.enhance(head(reflect_pad(x, self.window_size)), residual)

    def _shared_tail(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv_last0(self.conv_before_upsample0(features))
        return out


class TaskNetworks(Network):
    """A network for each task, side by side: no task has weights of another.

    Fine-tuning leaves each task with a body of its own (Ma et al. 2024, Methods); the names of the
    official single-task networks follow that of the task.

    Parameters
    ----------
    networks : mapping from task to Network
    """

    kind = "multitask"

    def __init__(self, networks: Mapping[str, Network]) -> None:
        super().__init__()
        self.tasks = tuple(networks)
        for task, network in networks.items():
            self.add_module(task, network)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Restore images of one task, float, normalised, shapes as that task's network has them."""
        return self.stages(x, task)[-1]

    def stages(self, x: Tensor, task: str) -> tuple[Tensor, ...]:
        """Outputs in turn of the networks of a task, the last of which is its result.

        Each is float, normalised, of shape (N, planes, height, width).

        Raises
        ------
        ValueError
            There is no network for the task.
        """
        if task not in self.tasks:
            raise ValueError(f"unknown task {task!r}: {', '.join(self.tasks)}")
        network = self.get_submodule(task)
        stages = getattr(network, "stages", None)
        return (network(x),) if stages is None else stages(x)


def _cropped(result: Tensor, x: Tensor, scale: int = 1) -> Tensor:
    """The part of a result that is not padding of `x`, at `scale` times its size."""
    return result[..., : x.shape[-2] * scale, : x.shape[-1] * scale]
