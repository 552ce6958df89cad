"""Arrays made of buffers are those that Arrow makes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.arrow_arrays import TYPES, array_of, parameter_of

FINITE_OR_NAN = st.floats(allow_infinity=False)
COLUMNS = {
    "float64": (FINITE_OR_NAN, np.float64),
    "int64": (st.integers(-(2**63), 2**63 - 1), np.int64),
    "utf8": (st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.none()), object),
    "binary": (st.one_of(st.binary(), st.none()), object),
}


@pytest.mark.parametrize("dtype", COLUMNS)
@given(data=st.data())
def test_a_column_is_what_arrow_makes_of_it(dtype, data):
    values, kind = COLUMNS[dtype]
    column = np.array(data.draw(st.lists(values, max_size=20)), kind)
    wanted = pa.array(column, type=TYPES[dtype], from_pandas=dtype == "float64")
    for rows in (slice(None), slice(None, None, 2)):  # strided, too
        found = array_of(column[rows], dtype)
        found.validate(full=True)
        assert found.equals(wanted.take(np.arange(len(wanted))[rows]))


def test_whole_numbers_in_a_column_of_floats_and_no_others_are_taken():
    assert array_of(np.array([1, 2]), "float64").to_pylist() == [1.0, 2.0]
    with pytest.raises(pa.ArrowInvalid):
        array_of(np.array([1.5]), "int64")


@pytest.mark.parametrize("value", [0, -(2**63), "", "Zoë", b"", b"\x00", 0.5])
def test_a_parameter_keeps_its_type(value):
    found = parameter_of(value)
    assert found.equals(pa.array([value]))
