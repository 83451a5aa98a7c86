"""Maps onto the probability simplex, their gradients, losses, projections and minimisers.

Nearly every map here is p_i = f(x_i - tau) with one number tau per row, the root of
sum_i f(x_i - tau) = 1: an exponential f gives softmax, a ramp gives sparsemax (the Euclidean
projection), its powers give entmax.
"""

__all__: list[str] = []
