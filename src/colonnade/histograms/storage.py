"""Filled histograms in files: uhi's serialisation in a ZIP archive for Python, TH1, TH2 and TH3 for ROOT."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np

from colonnade.errors import InputError, nearest
from colonnade.inputs import open_archive
from colonnade.output import replacing

_FILE = "histograms.zip"
Histograms = Mapping[str, Mapping[str, hist.Hist]]


def write_zip(histograms: Histograms, path: Path | str, eras: Mapping[str, Histograms] | None = None) -> None:
    """Write histograms as a ZIP archive in uhi's serialisation; `load` reads it.

    The archive appears whole or not at all: it is written under a temporary name and renamed. The same histograms
    give the same bytes.

    Parameters
    ----------
    histograms
        ``histograms[name][process]``.
    path
        The file to write.
    eras
        ``eras[era][name][process]``, where the histograms are sums over eras.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    with (
        replacing(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        # members have plain numbers as names, as a process may be called anything; the index says which is which
        members = [
            ({"histogram": name, "process": process} | ({} if era is None else {"era": era}), filled)
            for era, found in ((None, histograms), *(eras or {}).items())
            for name, by_process in found.items()
            for process, filled in by_process.items()
        ]
        write_member(archive, "index.json", json.dumps([entry for entry, _ in members], indent=1))
        for number, (_, filled) in enumerate(members):
            write_histogram(archive, str(number), filled)


def write_histogram(archive: zipfile.ZipFile, name: str, histogram: Any) -> None:
    """Write the members of a histogram in uhi's serialisation, sorted, as their order else depends on the process."""
    from uhi.io import zip as uhi_zip

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as inner:
        uhi_zip.write(inner, name, histogram)
    with zipfile.ZipFile(stream) as inner:
        for member in sorted(inner.namelist()):
            write_member(archive, member, inner.read(member))


def write_member(archive: zipfile.ZipFile, name: str, content: str | bytes) -> None:
    """Write a member of an archive without the time of writing, so that equal contents are equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type, entry.external_attr = archive.compression, 0o644 << 16
    archive.writestr(entry, content)


def read_histogram(archive: zipfile.ZipFile, name: str) -> Any:
    """Return a histogram of an archive in uhi's serialisation; raises what `checked` does."""
    from uhi.io import zip as uhi_zip

    return checked(uhi_zip.read(archive, name))


def checked(content: Any) -> Any:
    """Return a histogram in uhi's serialisation as it is.

    Raises
    ------
    ValueError
        If its axes have more bins than it has contents: their memory would be taken before that is found.
    """
    stored = max(np.size(each) for each in content["storage"].values())
    axes = content["axes"]
    # an axis that grows may have no category yet
    bins = math.prod(int(axis["bins"]) if "bins" in axis else len(axis.get("categories", "1")) for axis in axes)
    if bins > stored:
        msg = f"its axes have {bins:,} bins, and it holds {stored:,}"
        raise ValueError(msg)
    return content


def load(folder: Path | str, era: str | None = None) -> dict[str, dict[str, hist.Hist]]:
    """Read what a run left in histograms.zip; nothing is unpickled.

    Parameters
    ----------
    folder
        The output folder of a run, or the archive itself.
    era
        One of the run's eras; without it, the sums over all.

    Returns
    -------
    dict
        ``histograms[name][process]``, each with the axes region, variation and the declared ones.

    Raises
    ------
    InputError
        If there is no such file, or it is not an archive of histograms, or it has no such era.
    """
    path = Path(folder)
    path = path / _FILE if path.is_dir() or path.suffix != ".zip" else path
    if not path.is_file():
        msg = f"{path} does not exist; give the output folder of a finished run."
        raise InputError(msg)
    histograms: dict[str, dict[str, hist.Hist]] = {}
    with open_archive(path, "histograms") as archive:
        index = json.loads(archive.read("index.json"))
        for number, entry in enumerate(index):
            if entry.get("era") == era:
                read = hist.Hist(read_histogram(archive, str(number)))
                histograms.setdefault(entry["histogram"], {})[entry["process"]] = read
    if era is not None and not histograms:
        eras = dict.fromkeys(entry["era"] for entry in index if "era" in entry)
        known = f"it has: {', '.join(eras)}" if eras else "its run declares no eras"
        msg = f"{path} has no histograms of the era {era!r}{nearest(era, eras)}; {known}."
        raise InputError(msg)
    return histograms


def write_root(histograms: Histograms, path: Path | str, eras: Mapping[str, Histograms] | None = None) -> None:
    """Write every histogram as TH1D, TH2D or TH3D with variances, underflow and overflow.

    The keys are ``REGION/HISTOGRAM/PROCESS`` for the nominal result and ``REGION/HISTOGRAM/PROCESS__VARIATION`` for
    the others; those of an era are below ``ERA/``. ROOT has no histograms of four or more axes: those are in the ZIP
    archive alone. The file appears whole or not at all.

    Parameters
    ----------
    histograms, path, eras
        As in `write_zip`; each histogram with the axes region, variation and one to three more.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    import uproot

    with replacing(Path(path)) as temporary, uproot.recreate(temporary) as file:
        _write_below("", histograms, file)
        for era, found in (eras or {}).items():
            _write_below(f"{era}/", found, file)


def _write_below(above: str, histograms: Histograms, file: Any) -> None:
    regions = dict.fromkeys(
        region
        for processes in histograms.values()
        for histogram in processes.values()
        for region in histogram.axes["region"]
    )
    for region in regions:
        for name, processes in histograms.items():
            kept = {
                process: histogram
                for process, histogram in processes.items()
                if region in histogram.axes["region"] and 3 <= histogram.ndim <= 5
            }
            if not kept:
                continue
            folder = file.mkdir(f"{above}{region}/{name}")
            for process, histogram in kept.items():
                for variation, content in _root_histograms(histogram, region):
                    folder[process if variation == "nominal" else f"{process}__{variation}"] = content


def _root_histograms(histogram: hist.Hist, region: str) -> Iterator[tuple[str, Any]]:
    """Give each variation of a region as uproot writes it."""
    from uproot.writing.identify import to_TH1x, to_writable

    variations = list(histogram.axes["variation"])
    if histogram.ndim > 3 or not (histogram.axes[2].traits.underflow and histogram.axes[2].traits.overflow):
        for variation in variations:
            yield variation, histogram[{"region": region, "variation": variation}]
        return
    # a run leaves ten thousands of one-dimensional histograms: slicing and describing the axis for each takes longer
    # than writing it, so the first one's axis serves for all
    first = to_writable(histogram[{"region": region, "variation": variations[0]}])
    axis, title = first.member("fXaxis"), first.member("fTitle")
    content = histogram.view(flow=True)[list(histogram.axes["region"]).index(region)]
    centres = histogram.axes[2].centers
    for place, variation in enumerate(variations):
        values, variances = content["value"][place], content["variance"][place]
        inside = values[1:-1]
        yield (
            variation,
            to_TH1x(
                fName=None,
                fTitle=title,
                data=values.astype(">f8"),
                fEntries=values.sum(),
                fTsumw=inside.sum(),
                fTsumw2=variances[1:-1].sum(),
                fTsumwx=(inside * centres).sum(),
                fTsumwx2=(inside * centres**2).sum(),
                fSumw2=variances.astype(">f8"),
                fXaxis=axis,
            ),
        )
