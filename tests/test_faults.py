"""The table of faults matches the sources (`python tests/faults/run.py`)."""

import pytest

from faults.table import FAULTS, ROOT

pytestmark = pytest.mark.any_isa


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_into_its_file_and_has_tests_near_it(fault):
    text = (ROOT / fault.file).read_text()
    assert fault.put_into(text, fault.wrong) != text
    assert fault.test_files()


def test_there_are_70_faults_and_each_has_its_name():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 70
