"""Configurations as TOML: what is printed is read as it was, and shown as it is."""

import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unifmir.shown_text import shown
from unifmir.training.configuration import (
    RecipeChange,
    TrainingConfig,
    as_toml,
    preset_names,
    preset_path,
    read_config,
)

LETTERS = st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\t\n\r")
PLACES = st.text(LETTERS, max_size=20)
"""What a configuration may hold: no other control characters are read."""


def read_again(text: str) -> TrainingConfig:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "printed.toml")
        path.write_bytes(text.encode())
        return read_config(path)


@settings(deadline=None)  # a busy machine
@given(
    init=PLACES,
    data=st.lists(PLACES, max_size=3),
    rate=st.floats(1e-9, 1),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_text_and_number_is_read_as_it_was_printed(
    init: str, data: list[str], rate: float, seed: int
) -> None:
    recipes = {"sr": RecipeChange(batch=3, l1_share=rate), "denoise": RecipeChange()}
    config = TrainingConfig(
        "pretrain",
        init=init,
        data=data,
        with_simulated=bool(data),
        steps=1,
        learning_rate=rate,
        seed=seed,
        recipes=recipes,
    )
    assert read_again(as_toml(config)) == config


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("🔬.zarr", "🔬.zarr"),
        ('Zelle é"\\.zarr', 'Zelle é\\"\\\\.zarr'),
        ("a\x7fb", "a\\u007fb"),
        ("a\x85\xa0b", "a\\U00000085\\U000000a0b"),
        ("a\u202eb\U000e0001", "a\\U0000202eb\\U000e0001"),
        ("a\x1b[31m\r\n", "a\\u001b[31m\\r\\n"),
    ],
)
def test_what_a_terminal_is_shown_is_toml_too(name: str, written: str) -> None:
    config = TrainingConfig("pretrain", init=name, steps=1)
    text = as_toml(config)
    assert f'\ninit = "{written}"\n' in text
    assert shown(text) == text
    assert tomllib.loads(text)["init"] == name


def test_the_paper_s_presets_clip_no_gradients_and_average_no_weights() -> None:
    found = {name: read_config(preset_path(name)) for name in preset_names()}
    paper = {name for name in found if name.startswith("paper-")}
    assert len(paper) == 6
    for name, one in found.items():
        expected = [0.0, 0.0] if name in paper else [1.0, 0.998]
        assert [one.clip_norm, one.average_decay] == expected, name
        warms_up = one.schedule == "cosine"
        assert warms_up is (name not in paper), name
        assert one.warm_up == 100, name
