"""Every input that fuzzing ever kept, and a few random ones of each kind."""

from pathlib import Path

import pytest
from fuzz.inputs import INPUTS
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds(target):
    files = sorted((CORPUS / target).iterdir())
    assert files
    for path in files:
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_random_inputs_hold(target):
    for data in INPUTS[target](3000, seed=7):
        TARGETS[target](data)
