"""What `kinematics.arrays` and `kinematics.views` rely on in the inside of awkward."""

import awkward as ak
import numpy as np

from colonnade.kinematics import accelerate, arrays, select


def test_the_state_of_an_array_is_what_wrap_sets():
    expected = {"_layout", "_behavior", "_attrs", *arrays._EMPTY}
    assert set(vars(ak.Array([1.0]))) == expected, (
        f"awkward {ak.__version__} keeps other state in ak.Array than kinematics.arrays.wrap sets; "
        "compare its constructor and raise the upper bound in pyproject.toml."
    )


def test_an_assignment_replaces_the_layout_and_keeps_the_fast_class():
    jets = accelerate(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], [{"pt": 40.0}]]))
    before = jets.layout
    jets["pt"] = jets.pt * 2
    words = f"awkward {ak.__version__} assigns fields otherwise than kinematics.views.view expects."
    assert jets.layout is not before, words
    assert isinstance(jets, arrays._StoredFirst), words
    assert select(jets, lambda jet: jet.pt > 50).pt.tolist() == [[100.0], [80.0]], words
    assert np.asarray(before.content["pt"].data).tolist() == [50.0, 20.0, 40.0]
