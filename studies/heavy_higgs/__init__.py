"""A heavy Higgs boson: how much each selection bends the mass spectrum of the background, and the tables of the page.

python -m studies.heavy_higgs results/heavy_higgs
"""
