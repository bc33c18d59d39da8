"""Results keep their bits from version to version, on every set with a fused multiply-add.

`fixtures/bits.json` has hashes of the results of many networks, calls and training runs. When bits
change on purpose, change `numerics` too (see CONTRIBUTING), and rewrite it:

    python tests/fixtures/make_bits.py
"""

import pytest

from fixtures import make_bits

pytestmark = pytest.mark.skipif(
    not make_bits.fused(), reason="its multiply-add is not fused: no stored bits"
)
KEPT_NUMERICS, KEPT = make_bits.read()


def test_the_stored_bits_have_the_current_numerics():
    assert make_bits.numerics() == KEPT_NUMERICS


@pytest.mark.parametrize("group", make_bits.GROUPS)
def test_bits_are_the_stored_ones(group):
    found = make_bits.compute(group)
    assert [name for name, value in found.items() if KEPT.get(name) != value] == []


def test_no_stored_case_is_left_out():
    names = {name for group in make_bits.GROUPS for name, _ in make_bits.GROUPS[group]()}
    assert names == set(KEPT)
