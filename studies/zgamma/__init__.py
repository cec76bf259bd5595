"""The fake signal of a semi-supervised search for a resonance in Z gamma, by pseudo-experiments.

    python -m studies.zgamma                       # 10,000 pseudo-experiments
    python -m studies.zgamma --experiments 100

Each draws events without signal, trains a network to tell the mass window from its sidebands, cuts on its response and
fits the mass spectrum at each cut.
"""
