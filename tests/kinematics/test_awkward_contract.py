"""What is used of awkward and vector without a public name is as it was; else it is said of which version."""

from __future__ import annotations

import inspect

import awkward as ak
import numpy as np
import pytest
import vector
from vector.backends.awkward import MomentumArray4D

from colonnade.kinematics import accelerate, arrays, layouts, select


@pytest.fixture
def plain() -> ak.Array:
    return ak.Array([[1.0, 2.0], [3.0]])


def test_the_state_of_an_array_is_what_is_set(plain: ak.Array) -> None:
    assert set(vars(plain)) == {layouts.LAYOUT, "_behavior", "_attrs", *layouts._EMPTY}, (
        f"awkward {ak.__version__} keeps other state in ak.Array than kinematics.layouts sets; "
        "compare its constructor and raise the upper bound in pyproject.toml."
    )


def test_a_bare_array_gets_its_layout_when_it_is_asked_for(plain: ak.Array) -> None:
    class Later(ak.Array):  # type: ignore[misc]
        def __getattr__(self, name: str) -> object:
            if name != layouts.LAYOUT:
                return super().__getattr__(name)
            vars(self)[name] = plain.layout
            return plain.layout

    array = layouts.bare(Later, None, None)
    assert layouts.LAYOUT not in vars(array)
    message = f"awkward {ak.__version__} asks for more of an array than its layout"
    assert ak.to_list(array) == ak.to_list(np.sqrt(array**2)) == [[1.0, 2.0], [3.0]], message
    assert ak.to_list(array[:, 0]) == [1.0, 3.0], message
    layouts.change_class(plain, Later)
    assert ak.sum(plain) == 6, f"awkward {ak.__version__} takes no array whose class was changed"


def test_functions_of_awkward_are_generators_beneath(plain: ak.Array) -> None:
    for function in (ak.fields, ak.num, ak.concatenate):
        beneath = getattr(function, "__wrapped__", None)
        assert inspect.isgeneratorfunction(beneath), (
            f"awkward {ak.__version__} dispatches {function.__name__} otherwise"
        )
    assert ak.to_list(layouts.run_original(ak.num, (plain,), {"axis": 1})) == [2, 1]


def test_vector_makes_results_by_one_method() -> None:
    names = list(inspect.signature(MomentumArray4D._wrap_result).parameters)
    expected = ["self", "cls", "result", "returns", "num_vecargs"]
    assert names == expected, f"vector {vector.__version__} makes its results of {names}"


def test_an_assignment_replaces_the_layout_and_keeps_the_fast_class() -> None:
    jets = accelerate(ak.Array([[{"pt": 50.0}, {"pt": 20.0}], [{"pt": 40.0}]]))
    before = jets.layout
    jets["pt"] = jets.pt * 2
    words = f"awkward {ak.__version__} assigns fields otherwise than kinematics.views.view expects."
    assert jets.layout is not before, words
    assert isinstance(jets, arrays._StoredFirst), words
    assert select(jets, lambda jet: jet.pt > 50).pt.tolist() == [[100.0], [80.0]], words
    assert np.asarray(before.content["pt"].data).tolist() == [50.0, 20.0, 40.0]
