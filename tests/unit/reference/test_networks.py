"""The reference networks: as published, at any image size, trainable, the same when exported."""

import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unifmir.config import ReferenceConfig
from unifmir.reference import REFERENCES
from unifmir.reference.dfcan import amplitudes, matrix_power
from unifmir.reference.gvtnets import GlobalAttention, GVTNet
from unifmir.reference.gvtnets_projection import GVTNetProjection
from unifmir.reference.vcd_net import VCDNet, reflect_pad_to
from unifmir.signature import Signature

Shape = tuple[int, ...]

EXPORTED = 1e-6
"""Of the largest value: fp32 sums in another order."""


@dataclass(frozen=True)
class Case:
    """A small variant of a row and the sizes it is tried at."""

    options: dict[str, Any]
    traced: Shape
    others: tuple[Shape, ...]
    cost_input: Shape
    gmac: float
    """Multiply-accumulates of the published network on `cost_input`, without FFTs, in 1e9."""


VOLUMES = ((2, 1, 3, 17, 8), (1, 1, 1, 1, 1), (1, 1, 8, 16, 4), (3, 1, 2, 5, 1))
PLANES = ((2, 1, 17, 8), (1, 1, 1, 1), (3, 1, 5, 6))
CASES = {
    # Tables of the UniFMIR paper and its classes counted: shared input sizes, our own counts of
    # the published networks. The tables take a part of 41 planes as 41 / 40 of that of 40.
    "gvtnets": Case({"features": 8}, (1, 1, 5, 9, 12), VOLUMES, (1, 1, 40, 160, 128), 193.7506),
    "gvtnets-projection": Case(
        {"features": 8}, (1, 1, 5, 19, 12), VOLUMES, (1, 1, 50, 144, 176), 12.2192
    ),
    "dfcan": Case(
        {"features": 8, "groups": 2, "blocks": 2},
        (1, 1, 9, 12),
        (*PLANES, (1, 1, 2, 3), (1, 1, 45, 64)),
        (1, 1, 128, 128),
        31.4541,
    ),
    "enlcn": Case(
        {"features": 8, "match_features": 2, "random_features": 16},
        (1, 1, 9, 12),
        PLANES,
        (1, 1, 128, 128),
        3.5846,
    ),
    "vcd-net": Case(
        {"views": 9, "planes": 5, "stem_features": 32, "entry_features": 8, "encoder": (8, 12, 16)},
        (1, 9, 5, 6),
        ((2, 9, 3, 7), (1, 9, 1, 1), (1, 9, 4, 2)),
        (1, 121, 15, 15),
        624.5269 / 16,
    ),
    "unet": Case({"features": 8}, (1, 1, 9, 12), PLANES, (1, 1, 128, 128), 1.3642),
}


def network(name: str, options: dict[str, Any]) -> nn.Module:
    reference = REFERENCES[name]
    module, _, cls = reference.network.partition(":")
    torch.manual_seed(0)
    built: nn.Module = getattr(import_module(module), cls)(**{**reference.options, **options})
    return built.eval()


@pytest.fixture(scope="module", params=list(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def expected_shape(name: str, shape: Shape) -> Shape:
    """What the row's signature says comes out."""
    options = tuple(sorted(CASES[name].options.items()))
    facts = ReferenceConfig(name, REFERENCES[name].tasks[0], options).signature
    axes = shape[2:] if facts.volumetric_output or not facts.volumetric else shape[3:]
    lateral = [facts.scale * length for length in axes[-2:]]
    return (shape[0], facts.out_channels, *axes[:-2], *lateral)


class TestPublished:
    def test_row_names_itself(self, name: str) -> None:
        assert REFERENCES[name].name == name

    def test_parameters_are_the_published_ones(self, name: str) -> None:
        with torch.device("meta"):
            built = network(name, {})
        assert sum(p.numel() for p in built.parameters()) == REFERENCES[name].parameters

    def test_costs_are_the_published_ones(self, name: str) -> None:
        case, counter = CASES[name], FlopCounterMode(display=False)
        with torch.device("meta"), torch.no_grad(), counter:
            network(name, {})(torch.empty(case.cost_input))
        assert counter.get_total_flops() / 2e9 == pytest.approx(case.gmac, abs=1e-4)

    def test_projection_is_the_sum_of_its_two_parts(self) -> None:
        with torch.device("meta"):
            built = GVTNetProjection()
        parts = [sum(p.numel() for p in m.parameters()) for m in (built.project, built.denoise)]
        assert parts == [21_561, 517_312]


class TestPaperPort:
    """The reconstruction that has the parameters and the operations of the paper's tables."""

    @pytest.fixture
    def port(self) -> GVTNet:
        with torch.device("meta"):
            return GVTNet(paper_port=1).eval()

    def test_has_the_parameters_of_the_table(self, port: GVTNet) -> None:
        assert sum(p.numel() for p in port.parameters()) == 1_491_489

    def test_has_the_operations_of_the_table(self, port: GVTNet) -> None:
        # One per product and one per biased output, transposed convolutions at their output.
        operations = 0

        def count(layer: nn.Module, _: Any, out: Tensor) -> None:
            nonlocal operations
            assert isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)
            read = layer.in_channels * math.prod(layer.kernel_size) + (layer.bias is not None)
            operations += out.numel() * read

        for layer in port.modules():
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                layer.register_forward_hook(count)
        port(torch.empty(1, 1, 41, 160, 128, device="meta"))
        assert operations == 485_745 * 41 * 160 * 128
        assert operations * 32 / 1e9 == pytest.approx(13_051.85, abs=0.005)
        # The training table: a batch of 32 volumes of 16 x 64 x 64.
        training = 485_745 * 32 * 16 * 64 * 64 / 1e9
        assert training == pytest.approx(1018.6811, abs=5e-5)

    def test_does_not_pad_the_depth(self) -> None:
        assert GVTNet(features=8, paper_port=1).multiples == (1, 4, 4)


class TestSizes:
    def test_every_size_gives_what_the_signature_says(self, name: str) -> None:
        built = network(name, CASES[name].options)
        for shape in (CASES[name].traced, *CASES[name].others):
            with torch.no_grad():
                out = built(torch.rand(shape))
            assert tuple(out.shape) == expected_shape(name, shape)
            assert out.isfinite().all()

    def test_a_batch_is_its_images(self, name: str) -> None:
        built, batch = network(name, CASES[name].options), torch.rand(CASES[name].others[0])
        with torch.no_grad():
            single = torch.cat([built(image[None]) for image in batch])
            assert torch.allclose(built(batch), single, rtol=1e-5, atol=1e-6)

    def test_gradients_are_finite_and_reach_every_parameter(self, name: str) -> None:
        built = network(name, CASES[name].options).train()
        # A constant image too: its spectrum is 0 nearly everywhere.
        for image in (torch.rand(CASES[name].others[0]), torch.zeros(CASES[name].others[0])):
            built.zero_grad()
            built(image).square().mean().backward()
            for key, parameter in built.named_parameters():
                if key.startswith("mean_"):
                    continue  # ENLCN holds them and does not use them
                assert parameter.grad is not None
                assert parameter.grad.isfinite().all()


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # of the tracing exporter and of TorchScript themselves
    "ignore:Constant folding:UserWarning",
)
class TestExported:
    def test_onnx_gives_the_same_at_other_sizes(self, name: str, tmp_path: Path) -> None:
        built, case = network(name, CASES[name].options), CASES[name]
        file, example = tmp_path / "traced.onnx", torch.rand(case.traced)
        outputs = len(expected_shape(name, case.traced))
        torch.onnx.export(
            built,
            (example,),
            file,
            opset_version=17,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={
                "x": {0: "n", **{axis: f"i{axis}" for axis in range(2, example.dim())}},
                "y": {0: "n", **{axis: f"o{axis}" for axis in range(2, outputs)}},
            },
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for shape in (case.traced, *case.others):
            image = torch.rand(shape)
            with torch.no_grad():
                wanted = built(image).numpy()
            got = session.run(None, {"x": image.numpy()})[0]
            assert got.shape == wanted.shape
            assert np.abs(got - wanted).max() <= EXPORTED * max(np.abs(wanted).max(), 1)

    def test_torchscript_gives_the_same_at_other_sizes(self, name: str, tmp_path: Path) -> None:
        built, case = network(name, CASES[name].options), CASES[name]
        traced = torch.jit.trace(built, torch.rand(case.traced), check_trace=False)
        torch.jit.save(traced, tmp_path / "traced.pt")
        loaded = torch.jit.load(tmp_path / "traced.pt")
        for shape in case.others:
            image = torch.rand(shape)
            with torch.no_grad():
                assert torch.allclose(loaded(image), built(image), rtol=1e-6, atol=1e-6)


class TestGlobalAttention:
    def test_is_the_mean_over_keys_of_unnormalised_attention(self) -> None:
        torch.manual_seed(0)
        layer = GlobalAttention(2, 6, 4, 2).eval()
        x, query = torch.randn(1, 6, 3, 5), torch.randn(1, 4, 6, 10)
        with torch.no_grad():
            keys, values = layer.key(x).flatten(2)[0], layer.value(x).flatten(2)[0]
            heads = []
            for half in (slice(0, 2), slice(2, 4)):
                weights = query[0].flatten(1)[half].T @ keys[half] / 2**0.5
                heads.append((weights @ values[half].T / 15).T)
            wanted = layer.output(torch.cat(heads).reshape(1, 4, 6, 10))
            assert torch.allclose(layer(query, x), wanted, atol=1e-6)


class TestSpectrum:
    @pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 2, 7, 12), (1, 1, 1, 1), (1, 2, 33, 130)])
    def test_matrix_products_are_the_fourier_transform(self, shape: Shape) -> None:
        x = torch.rand(shape, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
        exact = np.abs(np.fft.fftshift(np.fft.fft2(x.double().numpy()), axes=(-2, -1)))
        assert np.abs(matrix_power(x).sqrt().numpy() - exact).max() <= 1e-6 * exact.max()

    def test_floor_does_not_show(self) -> None:
        x = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
        spectrum = torch.fft.fftshift(torch.fft.fft2(x.double()), dim=(-2, -1))
        assert torch.allclose(amplitudes(x).double(), spectrum.abs() ** 0.8, rtol=1e-6, atol=1e-5)

    def test_half_precision_survives_the_sum_over_all_pixels(self) -> None:
        # 65 536 pixels of 2 add up to 131 072, beyond what fp16 holds.
        x = torch.full((1, 1, 256, 256), 2.0, dtype=torch.float16)
        assert amplitudes(x).isfinite().all()
        assert amplitudes(x).dtype == torch.float16


class TestViews:
    def test_only_views_too_small_for_the_poolings_are_padded(self) -> None:
        x = torch.arange(6.0).reshape(1, 1, 2, 3)
        assert VCDNet(9, 5, 32, 8, (8,) * 5).minimum == 4
        assert reflect_pad_to(x, 2).equal(x)
        assert reflect_pad_to(x, 4)[0, 0].tolist() == [
            [0, 1, 2, 1],
            [3, 4, 5, 4],
            [0, 1, 2, 1],
            [3, 4, 5, 4],
        ]

    def test_signature_follows_the_options(self) -> None:
        published = ReferenceConfig("vcd-net", "volume")
        assert published.signature == REFERENCES["vcd-net"].signature
        other = ReferenceConfig("vcd-net", "volume", (("planes", 7), ("views", 25)))
        assert other.signature == Signature(25, 7, scale=5)
