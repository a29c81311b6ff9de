import json
from dataclasses import replace

import pytest

from unifmir.errors import ExportError
from unifmir.export.lineage import lineage_of
from unifmir.export.runtimes.tensorrt import passport as passports
from unifmir.export.runtimes.tensorrt.certificate import TypeCount
from unifmir.export.runtimes.tensorrt.host import Host
from unifmir.export.runtimes.tensorrt.library import RTX_DEFAULT, Library
from unifmir.export.runtimes.tensorrt.passport import Passport, Verification
from unifmir.export.runtimes.tensorrt.profiles import Profile
from unifmir.hashing import sha256_of
from unifmir.model import Provenance
from unifmir.precision.element_types import Precision

HERE = Host("Linux", "A card", "GPU-1", "8.6", "13.0", "580.65.06")
LIBRARY = Library("tensorrt", "10.13.3.9", None)
RTX = Library("tensorrt_rtx", "1.7.1.116", None)


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "a model.engine"
    path.write_bytes(b"native code")
    return path


@pytest.fixture
def passport(engine, tiny_config):
    parent = Provenance("unifmir-sr.safetensors", "1" * 64)
    lineage = lineage_of(tiny_config.single("sr"), "image", Precision("fp16", "fp16"), parent)
    return Passport(
        engine_sha256=sha256_of(engine),
        onnx_sha256="2" * 64,
        parent=lineage.parent,
        lineage=lineage.to_strings(),
        library={"name": "tensorrt", "version": "10.13.3.9"},
        built_on=HERE,
        targets=(),
        profile=Profile((1, 1, 8, 8), (1, 1, 16, 16), (2, 1, 32, 32)),
        options={"builder_level": 3},
        network_types={"Half": 9},
        rebuild="unifmir export --task sr --format tensorrt",
    )


def test_what_is_written_is_read_again(engine, passport):
    verification = Verification(HERE, "fp16", 14, 1e-3)
    for one in (passport, passport.verified(verification, TypeCount({"Half": 8}))):
        passports.write_passport(one, engine)
        assert passports.read_passport(engine) == one
    assert one.engine_types == {"Half": 8}
    assert one.verified_on(HERE)
    assert not passport.verified_on(HERE)


def test_an_engine_without_a_passport_is_not_loaded(engine):
    with pytest.raises(ExportError, match=r"no passport .*native code"):
        passports.read_passport(engine)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("engine_sha256"),
        lambda data: data.update(schema=2),
        lambda data: data.update(profile={"min": [1]}),
        lambda data: data.update(built_on={"gpu": 3, "shoe_size": 44}),
        lambda data: data.update(verification={"host": None}),
        lambda data: data.update(lineage={"task": "sr"}),
        lambda data: data.update(lineage=[]),
    ],
)
def test_a_malformed_passport_is_refused(engine, passport, change):
    data = passport.to_dict()
    change(data)
    passports.passport_path(engine).write_text(json.dumps(data))
    with pytest.raises(ExportError, match=r"passport|not exported by unifmir"):
        passports.read_passport(engine)


@pytest.mark.parametrize("text", ["", "[]", "nothing", '"a"', "\ud800"])
def test_what_is_no_passport_is_refused(engine, text):
    passports.passport_path(engine).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ExportError, match="not a passport"):
        passports.read_passport(engine)


def test_the_machine_it_was_built_on_may_load_it(engine, passport):
    passports.check_passport(passport, engine, sha256_of(engine), LIBRARY, HERE)


@pytest.mark.parametrize(
    ("library", "here", "told"),
    [
        (
            replace(LIBRARY, version="11.4.0.106"),
            HERE,
            "library: expected tensorrt 10.13.3.9, found tensorrt 11.4.0.106",
        ),
        (RTX, HERE, "expected tensorrt 10.13.3.9, found tensorrt_rtx 1.7.1.116"),
        (
            LIBRARY,
            replace(HERE, compute_capability="9.0", gpu="Another"),
            r"compute capability: expected 8.6, found 9.0 \(Another\)",
        ),
        (LIBRARY, replace(HERE, system="Windows"), "system: expected Linux, found Windows"),
        (LIBRARY, replace(HERE, cuda="12.8"), "cuda version: expected 13.x, found 12.8"),
        (LIBRARY, replace(HERE, driver="535.1"), "driver version: expected 580.x, found 535.1"),
    ],
)
def test_another_machine_is_refused_with_the_command_that_builds_it_there(
    engine, passport, library, here, told
):
    with pytest.raises(ExportError, match=told) as caught:
        passports.check_passport(passport, engine, sha256_of(engine), library, here)
    command = f"cd '{engine.parent}' && unifmir export --task sr --format tensorrt"
    assert command.replace("'", "") in str(caught.value).replace("'", "")


def test_what_is_not_known_is_no_reason_to_refuse(engine, passport):
    passports.check_passport(
        passport, engine, sha256_of(engine), LIBRARY, replace(HERE, driver=None, cuda="13.2")
    )


def test_an_altered_engine_is_refused(engine, passport):
    engine.write_bytes(b"other code")
    with pytest.raises(ExportError, match="sha256 of the engine: expected"):
        passports.check_passport(passport, engine, sha256_of(engine), LIBRARY, HERE)


@pytest.mark.parametrize(
    ("targets", "capability", "fits"),
    [
        (RTX_DEFAULT, "8.6", True),
        (RTX_DEFAULT, "12.1", True),
        (RTX_DEFAULT, "13.0", True),
        (RTX_DEFAULT, "9.0", False),
        (RTX_DEFAULT, "7.5", False),
        (RTX_DEFAULT, None, False),
        (("8.9",), "8.9", True),
        (("8.9",), "8.6", False),
        (("12.0",), "13.0", False),
    ],
)
def test_engines_for_any_machine_run_on_their_targets(engine, passport, targets, capability, fits):
    passport = replace(
        passport,
        library={"name": "tensorrt_rtx", "version": "1.7.1.116"},
        built_on=Host("Linux"),
        targets=targets,
    )
    here = replace(HERE, system="Windows", driver="1", compute_capability=capability)
    if fits:
        passports.check_passport(passport, engine, sha256_of(engine), RTX, here)
        return
    with pytest.raises(ExportError, match=f"expected {' or '.join(targets)}, found {capability}"):
        passports.check_passport(passport, engine, sha256_of(engine), RTX, here)


@pytest.mark.parametrize("change", [{"gpu_id": "GPU-2"}, {"driver": "581.0"}, {"gpu": "B card"}])
def test_a_verification_holds_for_one_card_and_one_driver(passport, change):
    done = passport.verified(Verification(HERE, "fp16", 14, 1e-3), TypeCount({}))
    assert not done.verified_on(replace(HERE, **change))
