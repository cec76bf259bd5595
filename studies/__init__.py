"""Studies: what one document asks for beyond a run, each a package with one command, ``python -m studies.NAME``."""
