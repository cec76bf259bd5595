"""Monojet: networks on event images, by compression and by network, beside a network on the particles.

python -m studies.monojet                                    # scaled to a machine without a GPU
python -m studies.monojet monojet_full --device cuda         # the sizes of the publication
"""
