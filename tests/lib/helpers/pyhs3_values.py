"""A program for a Python of its own, one that has pyhs3: what pyhs3 makes of an HS3 file.

pyhs3 pins an older numba than the rest of this project can live with, so it can't be imported beside it;
`helpers.pyhs3_check` starts this file with the Python of another environment. It reads a JSON
object from its input: `file`, the HS3 file; `names`, parameters; `points`, their values. It writes one to its output:
pyhs3's version and `values`, the log-likelihood at each point.

pyhs3 0.4's `Model` can't build a staterror, so its expressions of the terms of each channel are added up here instead.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def log_of(expression: Any) -> Any:
    """Return the logarithm of a product of exponentials without making the product, which large counts take to 0."""
    pt = importlib.import_module("pytensor.tensor")
    node = expression.owner
    if node is None:
        return pt.log(expression)
    kind = type(node.op).__name__
    name = str(node.op.scalar_op) if kind == "Elemwise" else kind
    if name == "exp":
        return node.inputs[0]
    parts = {
        "mul": lambda: sum((log_of(each) for each in node.inputs[1:]), log_of(node.inputs[0])),
        "Prod": lambda: pt.sum(log_of(node.inputs[0]), axis=node.op.axis),
        "MakeVector": lambda: pt.stack([log_of(each) for each in node.inputs]),
        "Join": lambda: pt.join(node.inputs[0], *(log_of(each) for each in node.inputs[1:])),
        "DimShuffle": lambda: node.op(log_of(node.inputs[0])),
    }
    return parts.get(name, lambda: pt.log(expression))()


def terms(workspace: Any, variables: dict[str, Any]) -> list[Any]:
    """Return the logarithm of every term of the first likelihood, each constraint once."""
    np, pt = importlib.import_module("numpy"), importlib.import_module("pytensor.tensor")
    context_of = importlib.import_module("pyhs3.context").Context
    likelihood = workspace.likelihoods[0]
    found, seen = [], set()
    for distribution, data in zip(likelihood.distributions, likelihood.data, strict=True):
        observed = {f"{distribution.name}_observed": pt.constant(np.asarray(data.contents))}
        context = context_of(variables | observed)
        found.append(log_of(distribution.likelihood(context)))
        for key, modifier, sample in distribution.constraint_specs():
            # a statistical constraint is one of the whole channel
            if modifier.type == "staterror" or (key is not None and key in seen):
                continue
            seen.add(key)
            found.append(log_of(modifier.make_constraint(context, sample)))
        statistical = distribution._make_barlow_beeston_lite_constraint(context)
        if statistical is not None:
            found.append(log_of(statistical))
    known = dict(variables)
    for each in [*(workspace.functions or ()), *workspace.distributions]:
        # numbers measured elsewhere, their products, and distributions of these before products of distributions
        if each.type in ("product", "gaussian_dist", "poisson_dist", "product_dist"):
            known[each.name] = each.expression(context_of(known | each.constants))
    return found + [log_of(known[each.name]) for each in likelihood.aux_distributions or ()]


def main() -> None:
    """Read the request, evaluate, write the answer."""
    pt = importlib.import_module("pytensor.tensor")
    pytensor, pyhs3 = importlib.import_module("pytensor"), importlib.import_module("pyhs3")
    request = json.load(sys.stdin)
    with open(request["file"], encoding="utf-8") as stream:  # noqa: PTH123 - no more imports than needed
        workspace = pyhs3.Workspace(**json.load(stream))
    names = request["names"]
    variables = {each.name: pt.constant(each.value) for each in workspace.parameter_points[0].parameters}
    variables |= {name: pt.dscalar(name) for name in names}
    total = pt.sum(pt.stack([pt.sum(each) for each in terms(workspace, variables)]))
    inputs = [variables[name] for name in names]
    mode = pytensor.compile.mode.Mode(linker="py", optimizer=None)
    value = pytensor.function(inputs, total, mode=mode, on_unused_input="ignore")
    values = [float(value(*point)) for point in request["points"]]
    json.dump({"version": pyhs3.__version__, "values": values}, sys.stdout)


if __name__ == "__main__":
    main()
