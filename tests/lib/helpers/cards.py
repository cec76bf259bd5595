"""Datacards of one bin and files of templates, as tests of Combine's grammar write them."""

import hist
import numpy as np
import uproot


def numbers(*values):
    return np.array(values, dtype=float)


def shapes_file(path, contents):
    with uproot.recreate(path) as file:
        for name, (values, errors) in contents.items():
            filled = hist.Hist(hist.axis.Regular(len(values), 0, len(values), name="x"), storage=hist.storage.Weight())
            filled.view()["value"], filled.view()["variance"] = values, numbers(*errors) ** 2
            file[name] = filled


def card(*rows, shapes="", observed="237", rates="148.8058319091797 43.84315872192383"):
    lines = ["imax 1", "jmax 1", "kmax *", shapes, "bin ch1", f"observation {observed}", "---"]
    lines += ["bin ch1 ch1", "process sig bkg", "process 0 1", f"rate {rates}", "---"]
    return "\n".join([*lines, *rows, ""])
