"""A program for a Python of its own, one that has ROOT: what ROOT makes of an HS3 file.

`helpers.pyhs3_check` starts this file with the Python of another environment. It reads a JSON object from its input:
`file`, the HS3 file; `names`, parameters; `points`, their values; `written`, where ROOT is to write what it read, or
null. The last line of its output is another: ROOT's version and `values`, the log-likelihood at each point.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings


def main() -> None:
    """Read the request, evaluate, write the answer."""
    request = json.load(sys.stdin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = importlib.import_module("ROOT")
    root.gROOT.SetBatch(True)
    root.RooMsgService.instance().setGlobalKillBelow(root.RooFit.ERROR)
    workspace = root.RooWorkspace("workspace")
    tool = root.RooJSONFactoryWSTool(workspace)
    tool.importJSON(request["file"])
    if request.get("written"):
        # before any parameter moves, as ROOT divides errors by the present values
        tool.exportJSON(request["written"])
    likelihood = workspace.obj("ModelConfig").createNLL(workspace.data("obsData"))
    values = []
    for point in request["points"]:
        for name, value in zip(request["names"], point, strict=True):
            workspace.var(name).setVal(value)
        values.append(-likelihood.getVal())
    sys.stdout.write("\n" + json.dumps({"version": root.gROOT.GetVersion(), "values": values}))
    sys.stdout.flush()
    os._exit(0)  # ROOT's own end takes seconds, and sometimes crashes


if __name__ == "__main__":
    main()
