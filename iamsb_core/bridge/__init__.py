"""Bridges between two laws, free of the task: reference process, coupling, energy, propagation.

t = 0 is the source (x_0, law nu_0), t = 1 the target (x_1, law nu_1); t never runs backwards here. The reference R is
Brownian motion of scale sigma, and a Schroedinger bridge is the law closest to R, in KL, among those with the two
given marginals (Schroedinger 1931; Leonard 2014). Its static part is an entropic coupling of the marginals.
"""
