"""Heavy neutral leptons: significance against the mass, of observables, networks, trees and transfer learning.

python -m studies.hnl_tau                              # scaled to a CPU
python -m studies.hnl_tau --size full --device cuda    # the sizes of the publication
"""
