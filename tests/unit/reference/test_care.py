"""CARE networks: sizes, training, tracing, and what is refused of Keras' files."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unifmir.checkpoint.keras import read_keras
from unifmir.config import Option, ReferenceConfig
from unifmir.errors import CheckpointError, MissingExtraError, UnknownNameError
from unifmir.model import build
from unifmir.networks.base import Network
from unifmir.reference import REFERENCES
from unifmir.reference.care import CareUNet
from unifmir.reference.care_projection import SurfaceProjector

NAMES = ("care", "care-2d", "care-projection")
TOLERANCE = 1e-5
"""Of outputs near 1, between PyTorch and ONNX Runtime; measured: 2e-7."""

Arrays = list[tuple[str, NDArray[np.float32]]]
"""Names of weights, and their values."""


def small(name: str, *options: tuple[str, Option]) -> Network:
    """The network with four features."""
    task = REFERENCES[name].tasks[0]
    return build(ReferenceConfig(name, task, tuple(sorted([("features", 4), *options]))))


def stack(name: str, *size: int, batch: int = 1) -> Tensor:
    """Random input; a 2-D network's has no z."""
    size = size if REFERENCES[name].signature.volumetric else size[1:]
    return torch.rand((batch, 1, *size), generator=torch.Generator().manual_seed(sum(size)))


def zero(layer: nn.Module) -> None:
    """Set the weights and biases to 0."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)


class TestNetworks:
    @pytest.mark.parametrize("name", NAMES)
    def test_published_network_has_the_published_parameters(self, name):
        row = REFERENCES[name]
        with torch.device("meta"):
            network = build(ReferenceConfig(name, row.tasks[0]))
            output = network(torch.empty(stack(name, 5, 33, 18).shape))
        assert sum(p.numel() for p in network.parameters()) == row.parameters
        assert output.shape[-2:] == (33, 18)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 17), (5, 19, 7), (8, 16, 32)])
    def test_every_size_is_kept(self, name, size):
        x = stack(name, *size, batch=2)
        with torch.inference_mode():
            output = small(name)(x)
        wanted = (2, 1, *size[1:]) if name == "care-projection" else tuple(x.shape)
        assert output.shape == wanted
        assert output.isfinite().all()

    @pytest.mark.parametrize("name", NAMES)
    def test_images_of_a_batch_do_not_mix(self, name):
        network, x = small(name), stack(name, 4, 16, 16, batch=3)
        with torch.inference_mode():
            alone = torch.cat([network(image[None]) for image in x])
            assert (network(x) - alone).abs().max() <= TOLERANCE

    @pytest.mark.parametrize("name", NAMES)
    def test_odd_size_is_what_its_reflection_gives(self, name):
        network, x = small(name), stack(name, 4, 16, 13)
        reflected = torch.cat([x, x[..., 9:12].flip(-1)], dim=-1)
        with torch.inference_mode():
            assert torch.equal(network(x), network(reflected)[..., :13])

    @pytest.mark.parametrize("name", NAMES)
    def test_every_weight_is_trained(self, name):
        network = small(name).train()
        network(stack(name, 4, 16, 16)).square().mean().backward()
        gradients = [p.grad for p in network.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in gradients)
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
        before = [p.detach().clone() for p in network.parameters()]
        optimiser.step()
        moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
        assert sum(moved) > len(moved) / 2

    def test_projection_weighs_each_plane_by_its_share(self):
        projector = SurfaceProjector(depth=2, kernel=3, features=4)
        zero(projector.last)
        x = stack("care-projection", 7, 16, 16)
        with torch.inference_mode():
            assert (projector(x) - x.mean(dim=2)).abs().max() <= TOLERANCE

    def test_without_residual_the_input_is_not_added(self):
        network = CareUNet(ndim=2, features=4, residual=False)
        zero(network.last)
        x = stack("care-2d", 1, 8, 8)
        assert not network(x).any()
        network.residual = True
        assert torch.equal(network(x), x)


class TestTracing:
    SIZES = ((2, 5, 19, 7), (1, 1, 1, 1), (3, 13, 1, 35), (1, 4, 32, 16))
    """Batch and size, all unlike the traced ones."""

    def inputs(self, name: str) -> list[Tensor]:
        return [stack(name, *size, batch=batch) for batch, *size in self.SIZES]

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # TorchScript's own
    def test_torchscript_runs_at_other_sizes(self, name):
        network = small(name)
        traced = torch.jit.trace(network, stack(name, 8, 16, 16), check_trace=False)
        with torch.inference_mode():
            for x in self.inputs(name):
                assert torch.equal(traced(x), network(x))

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the tracing exporter itself
    def test_onnx_runs_at_other_sizes(self, name, tmp_path):
        network, x, path = small(name), stack(name, 8, 16, 16), tmp_path / "network.onnx"
        torch.onnx.export(
            network,
            (x,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {axis: f"a{axis}" for axis in (0, *range(2, x.ndim))}},
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for x in self.inputs(name):
            with torch.inference_mode():
                expected = network(x).numpy()
            (output,) = session.run(None, {"x": x.numpy()})
            assert output.shape == expected.shape
            assert np.abs(output - expected).max() <= TOLERANCE


def arrays_of(network: Network) -> Arrays:
    """Weights as Keras names and lays them out."""
    arrays: Arrays = []
    for index, (key, tensor) in enumerate(network.state_dict().items()):
        value = tensor.numpy()
        if key.endswith("weight"):
            value = value.transpose(*range(2, value.ndim), 1, 0)
        arrays.append((f"conv_{index // 2}/{'kernel' if index % 2 == 0 else 'bias'}:0", value))
    return arrays


def write_keras(
    path: Path, arrays: Arrays, *, adds: bool = True, description: str | None = None
) -> Path:
    """A file in Keras' layout, its layers stored in another order than they are run in."""
    h5py = pytest.importorskip("h5py")
    layers = list(dict.fromkeys(name.partition("/")[0] for name, _ in arrays))
    with h5py.File(path, "w") as file:
        root = file
        if description is not None:
            file.attrs["model_config"] = description
            root = file.create_group("model_weights")
        root.attrs["layer_names"] = ["input", *layers, *(["add_1"] if adds else [])]
        for layer in ["add_1", "input", *reversed(layers)]:
            group = root.create_group(layer)
            mine = [(name, value) for name, value in arrays if name.startswith(f"{layer}/")]
            group.attrs["weight_names"] = [name for name, _ in mine]
            for name, value in mine:
                group.create_dataset(name, data=value)
    return path


@pytest.fixture
def arrays() -> Arrays:
    """Of a small 2-D network."""
    return arrays_of(small("care-2d"))


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Why a file with these weights is refused."""

    def reason(arrays: Arrays, **options: object) -> str:
        path = write_keras(tmp_path / "weights_best.h5", arrays, **options)  # type: ignore[arg-type]
        with pytest.raises(CheckpointError) as error:
            read_keras(path)
        assert str(error.value).startswith("weights_best.h5: ")
        return str(error.value)

    return reason


class TestKeras:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("depth", [1, 3])
    def test_weights_come_back(self, name, depth, tmp_path):
        network = small(name, ("depth", depth), ("kernel", 5))
        path = write_keras(tmp_path / "weights.h5", arrays_of(network))
        found = read_keras(path)
        assert found.config.network_kwargs() == network.config.network_kwargs()
        state = found.state_dict()
        assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())

    def test_task_may_be_named(self, tmp_path):
        path = write_keras(tmp_path / "weights.h5", arrays_of(small("care")))
        assert read_keras(path).task == "denoise"
        network = read_keras(path, task="isotropic")
        assert (network.task, network.config.task) == ("isotropic", "isotropic")
        with pytest.raises(CheckpointError, match="denoise and isotropic, not for projection"):
            read_keras(path, task="projection")
        with pytest.raises(UnknownNameError, match="did you mean 'isotropic'"):
            read_keras(path, task="isotropy")

    def test_names_that_keras_cut_into_pieces_are_joined(self, arrays, tmp_path):
        h5py = pytest.importorskip("h5py")
        path = write_keras(tmp_path / "weights.h5", arrays)
        with h5py.File(path, "r+") as file:
            names = list(file.attrs["layer_names"])
            del file.attrs["layer_names"]
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:5], names[5:]
        assert read_keras(path).config.network_kwargs()["depth"] == 2

    def test_wider_floats_are_read_as_float32(self, arrays, tmp_path):
        doubles = [(name, value.astype(np.float64)) for name, value in arrays]
        network = read_keras(write_keras(tmp_path / "weights.h5", doubles))
        assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}

    def test_settings_of_csbdeep_tell_of_a_projections_residual(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        arrays = arrays_of(small("care-projection"))
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = ["input_1", "model_1"]
            file.create_group("input_1").attrs["weight_names"] = []
            group = file.create_group("model_1")
            group.attrs["weight_names"] = [name for name, _ in arrays]
            for name, value in arrays:
                group.create_dataset(name, data=value)
        assert read_keras(path).config.network_kwargs()["residual"] is True
        settings = {"unet_n_depth": 3, "unet_residual": False, "axes": "ZYXC"}
        (tmp_path / "config.json").write_text(json.dumps(settings), "utf-8")
        assert read_keras(path).config.network_kwargs()["residual"] is False

    def test_somebody_elses_settings_are_left_alone(self, arrays, tmp_path):
        path = write_keras(tmp_path / "weights.h5", arrays)
        for text in ('{"axes": "XYZ"}', "[" * 100_000, "no json"):
            (tmp_path / "config.json").write_text(text, "utf-8")
            assert read_keras(path).task == "denoise"

    def test_without_h5py_the_command_that_installs_it_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(MissingExtraError, match=r'pip install "unifmir\[keras\]"'):
            read_keras(tmp_path / "weights.h5")


class TestRefused:
    @pytest.fixture(autouse=True)
    def _needs_h5py(self):
        pytest.importorskip("h5py")

    def test_missing_file(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"weights_best\.h5: there is no such file"):
            read_keras(tmp_path / "weights_best.h5")

    def test_file_cut_anywhere(self, arrays, tmp_path):
        # Not bytes altered at random: on some of those the HDF5 library itself crashes.
        path = write_keras(tmp_path / "weights.h5", arrays, description="{}")
        content = path.read_bytes()
        for length in range(0, len(content), 997):
            path.write_bytes(content[:length])
            with pytest.raises(CheckpointError, match=r"not a readable HDF5 file .* copy"):
                read_keras(path)

    def test_hdf5_file_without_a_network(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=np.zeros(3))
        with pytest.raises(CheckpointError, match=r"lists no layers but holds \['images'\]"):
            read_keras(path)
        with h5py.File(path, "w") as file:
            file.create_group("layers/conv2d/vars")
        with pytest.raises(CheckpointError, match=r"Keras 3's .* save it again"):
            read_keras(path)

    def test_weights_that_are_not_finite(self, arrays, refused):
        arrays[4][1][0] = np.nan
        assert "conv_2/kernel:0 holds NaN or infinity" in refused(arrays)

    def test_weights_beyond_the_range_of_float32(self, arrays, refused):
        arrays[0] = (arrays[0][0], arrays[0][1].astype(np.float64) + 1e300)
        assert "NaN or infinity" in refused(arrays)

    def test_integers(self, arrays, refused):
        assert "expected floating point" in refused([(n, v.astype(int)) for n, v in arrays])

    def test_several_channels(self, arrays, refused):
        name, kernel = arrays[0]
        arrays[0] = (name, kernel.repeat(3, axis=-2))
        assert "it has 3 channels in and 1 out" in refused(arrays)

    def test_probabilistic_network(self, arrays, refused):
        scale = [(f"scale/{n.rpartition('/')[2]}", v) for n, v in arrays[-2:]]
        assert "a probabilistic network" in refused([*arrays, *scale])

    def test_batch_normalisation(self, arrays, refused):
        norm = [(f"norm/{n}:0", np.ones(4, np.float32)) for n in ("gamma", "beta")]
        assert "batch normalisation" in refused([*arrays[:2], *norm, *arrays[2:]])

    def test_convolutions_without_biases(self, arrays, refused):
        assert "expected kernels and biases in turn" in refused(arrays[::2])

    def test_network_without_weights(self, refused):
        assert "found no weights" in refused([])

    def test_fully_connected_network(self, refused):
        dense = [("d/kernel:0", np.ones((4, 5), np.float32)), ("d/bias:0", np.ones(5, np.float32))]
        assert "no 2-D or 3-D convolution" in refused(dense)

    def test_u_net_of_another_length(self, arrays, refused):
        assert "10 convolutions in a U-Net" in refused([*arrays[:2], *arrays[4:]])

    def test_projection_of_another_length(self, refused):
        arrays = arrays_of(small("care-projection"))
        assert "9 convolutions in the projection" in refused([*arrays[:2], *arrays[4:]])

    def test_u_net_of_other_widths(self, arrays, refused):
        kernel, bias = arrays[2:4]
        arrays[2] = (kernel[0], kernel[1][..., :2])
        arrays[3] = (bias[0], bias[1][:2])
        assert "conv_1/kernel:0 has shape (2, 4, 3, 3)" in refused(arrays)

    def test_too_many_weights(self, arrays, refused):
        more = [(f"again{i}_{n}", v) for i in range(6) for n, v in arrays]
        assert "weights; expected" in refused(more)

    def test_oblong_and_even_kernels(self, arrays, refused):
        name, kernel = arrays[0]
        arrays[0] = (name, kernel[:1])
        assert "the same odd number along each axis" in refused(arrays)
        arrays[0] = (name, kernel[:2, :2])
        assert "the same odd number along each axis" in refused(arrays)

    def test_values_that_are_declared_but_not_stored(self, arrays, tmp_path):
        h5py = pytest.importorskip("h5py")
        path = write_keras(tmp_path / "weights.h5", arrays)
        with h5py.File(path, "r+") as file:
            group = file["conv_0"]
            del group["conv_0/kernel:0"]
            group.create_dataset("conv_0/kernel:0", (10**6, 10**6, 1, 4), "f4", chunks=True)
        with pytest.raises(CheckpointError, match="but 0 are stored"):
            read_keras(path)

    def test_values_in_another_file(self, arrays, tmp_path):
        h5py = pytest.importorskip("h5py")
        other = write_keras(tmp_path / "other.h5", arrays)
        path = write_keras(tmp_path / "weights.h5", arrays)
        with h5py.File(path, "r+") as file:
            del file["conv_0"]
            file["conv_0"] = h5py.ExternalLink(str(other), "conv_0")
        with pytest.raises(CheckpointError, match="conv_0/kernel:0 declares"):
            read_keras(path)

    def test_another_last_activation(self, arrays, refused):
        sigmoid = {"class_name": "Activation", "config": {"activation": "sigmoid"}}
        description = json.dumps({"class_name": "Functional", "config": {"layers": [sigmoid]}})
        assert "last activation is 'sigmoid'" in refused(arrays, description=description)

    @pytest.mark.parametrize("description", ["{", "[" * 100_000])
    def test_damaged_description(self, arrays, refused, description):
        assert "description in it cannot be read" in refused(arrays, description=description)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("unet_last_activation", "relu"),
            ("axes", "XYC"),
            ("proj_axis", "Y"),
            ("proj_pool", [1, 4, 4]),
            ("proj_n_conv_per_depth", 2),
        ],
    )
    def test_settings_that_the_weights_do_not_show(self, arrays, refused, tmp_path, key, value):
        text = json.dumps({"unet_n_depth": 2, key: value})
        (tmp_path / "config.json").write_text(text, "utf-8")
        assert f"config.json beside it says {key} = {value!r}" in refused(arrays)
