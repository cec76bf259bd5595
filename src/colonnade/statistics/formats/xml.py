"""HistFactory XML with its ROOT histograms, out and back, by pyhf."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from colonnade.errors import ConfigError, InputError
from colonnade.faults import reason
from colonnade.output import replacing
from colonnade.statistics.formats.exporting import Differences, kinds_of, tell
from colonnade.statistics.model import Model, Parameter
from colonnade.statistics.workspace import from_workspace, quiet, to_workspace

# how ROOT's HistFactory is to take statistical uncertainties: every bin, and Gaussian, as pyhf does
_STATISTICS = '<StatErrorConfig RelErrorThreshold="0" ConstraintType="Gaussian" />'


def to_xml(model: Model, path: Path, differences: Differences) -> None:
    """Write a model as HistFactory XML: a file of the measurement, and a folder of the same name beside it.

    ``hist2workspace NAME.xml``, run in the folder of the file, makes a workspace of it.

    Parameters
    ----------
    model
        The model, in HistFactory's words.
    path
        Of the file, ``NAME.xml``; ``NAME/`` gets one file a channel and the histograms.
    differences
        Where the format's conventions differ from the model's is added.

    Raises
    ------
    ConfigError
        If the luminosity is not called lumi, or its error is not that of a measurement of 1 in all.
    OutputError
        If a file can't be written.
    """
    from pyhf.writexml import writexml

    kinds = kinds_of(model)
    for each in model.parameters:
        _say(each, kinds[each.name], differences)
    folder = path.with_suffix("")
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place) / folder.name
        inside.mkdir()
        top = writexml(to_workspace(model), str(inside), str(inside), "channel").decode("utf-8")
        for file in inside.glob("*.xml"):
            lines = file.read_text(encoding="utf-8").replace(f"{place}/", "").splitlines()
            first = next(index for index, line in enumerate(lines) if "<Data " in line)
            lines.insert(first + 1, f"  {_STATISTICS}")
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (*inside.iterdir(), Path(place) / "HistFactorySchema.dtd"):
            target = (folder if file.parent == inside else folder.parent) / file.name
            with replacing(target) as temporary:
                shutil.copyfile(file, temporary)
        with replacing(path) as temporary:
            temporary.write_text(top.replace(f"{place}/", ""), encoding="utf-8")


def _say(each: Parameter, kinds: set[str], differences: Differences) -> None:
    """Refuse what the format has no words for, and tell what is lost of a parameter."""
    kind = min(kinds)
    if (kind == "lumi") != (each.name == "lumi"):
        msg = f"HistFactory XML has one luminosity, which is called lumi; the {kind} {each.name} can't be said."
        raise ConfigError(msg)
    if each.below or (kind == "lumi" and each.auxdata != (1.0,)) or (kind, each.constraint) == ("staterror", "poisson"):
        msg = f"HistFactory XML can't say how {each.name} was measured."
        raise ConfigError(msg)
    defaults = {"normsys": (-5.0, 5.0), "histosys": (-5.0, 5.0), "lumi": (0.0, 10.0), "shapefactor": (0.0, 10.0)}
    if kind != "normfactor" and any(pair != defaults.get(kind, (1e-10, 10.0)) for pair in each.bounds):
        tell(differences, each.name, "its range is lost, as only those of normfactors are in the XML")
    if kind == "staterror":
        tell(differences, each.name, "is called staterror_CHANNEL when it is read back, as the XML has no name")


def from_xml(path: Path) -> Model:
    """Read the model of HistFactory XML.

    Paths in the XML are relative to where HistFactory ran: the folder of the file, or one above it, as with
    TRExFitter, which writes ``JOB/RooStats/JOB.xml`` with paths from above JOB. The nearest folder in which they exist
    is taken.

    Raises
    ------
    InputError
        If a file is missing or is no HistFactory XML.
    """
    from pyhf import readxml

    try:
        root = _root(path)
        readxml.clear_filecache()
        with quiet():
            spec = readxml.parse(path, root)
    except Exception as error:
        if isinstance(error, InputError):
            raise
        msg = f"{path} can't be read as HistFactory XML with histograms of one dimension: {reason(error)}."
        raise InputError(msg) from error
    return from_workspace(spec, source=str(path))


def _root(path: Path) -> Path:
    inputs = [Path(each) for each in re.findall(r"<Input>\s*(.*?)\s*</Input>", path.read_text(encoding="utf-8"))]
    missing = inputs
    for folder in path.resolve().parents:
        absent = [each for each in inputs if not (folder / each).is_file()]
        if not absent:
            return folder
        missing = min(absent, missing, key=len)
    msg = f"{path} names the file {missing[0]}, which is not in {path.parent} or a folder above it."
    raise InputError(msg)
