"""Dark matter in dilepton + MET: models compared with cut and count, and grids of hyper-parameters as heat maps.

python -m studies.dilepton_met                                        # the comparison
python -m studies.dilepton_met --grids                                # the grids
"""
