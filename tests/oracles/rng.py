"""The counter-based generator in Python integers, one value at a time."""

import math

import mpmath

Key = tuple[int, int]

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 as published: four counter words, two key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & MASK,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & MASK,
        )
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def block_words(key: Key, block: int) -> tuple[int, int, int, int]:
    lo, hi = key
    counter = (block & MASK, block >> 32, hi & MASK, hi >> 32)
    return philox(counter, (lo & MASK, lo >> 32))


def subkey(key: Key, i: int) -> Key:
    w = block_words(key, i | 1 << 63)
    return w[0] | w[1] << 32, w[2] | w[3] << 32


def uniform_below(key: Key, index: int, n: int) -> int:
    w = block_words(key, index)
    return (w[0] | w[1] << 32 | w[2] << 64 | w[3] << 96) * n >> 128


def lane_block(group: int, lane: int, bits: int) -> int:
    return 16 * group + (lane if bits == 64 else lane // 2 + 8 * (lane % 2))


def uniform(key: Key, index: int, bits: int) -> float:
    if bits == 64:
        group, rest = divmod(index, 32)
        w = block_words(key, lane_block(group, rest % 16, 64))
        h = rest // 16
        return math.ldexp((w[2 * h] | w[2 * h + 1] << 32) >> 11, -53)
    group, rest = divmod(index, 64)
    w = block_words(key, lane_block(group, rest % 16, 32))
    return math.ldexp(w[rest // 16] >> 8, -24)


def sign(key: Key, index: int, bits: int) -> float:
    group, rest = divmod(index, 2048)
    c, rest = divmod(rest, 512)
    s, lane = divmod(rest, 16)
    w = block_words(key, lane_block(group, lane, bits))
    return -1.0 if w[c] >> (31 - s) & 1 else 1.0


def rounded(integer: int, precision: int, exponent: int) -> mpmath.mpf:
    """integer * 2^exponent, rounded to `precision` bits."""
    with mpmath.workprec(precision):
        return mpmath.ldexp(+mpmath.mpf(integer), exponent)


def normal(key: Key, index: int, bits: int) -> mpmath.mpf:
    """Box and Muller's transform of the index's bits, exact but for the rounding of u."""
    with mpmath.workprec(113):
        if bits == 64:
            group, rest = divmod(index, 32)
            h, lane = divmod(rest, 16)
            w = block_words(key, lane_block(group, lane, 64))
            u = rounded(2 * (w[0] | w[1] << 32) + 1, 53, -65)
            turn = mpmath.ldexp((w[2] | w[3] << 32) >> 11, -53)
        else:
            group, rest = divmod(index, 64)
            p, rest = divmod(rest, 32)
            h, lane = divmod(rest, 16)
            w = block_words(key, lane_block(group, lane, 32))
            u = rounded(2 * w[2 * p] + 1, 24, -33)
            turn = mpmath.ldexp(w[2 * p + 1] >> 8, -24)
        wave = mpmath.sinpi if h else mpmath.cospi
        return mpmath.sqrt(-2 * mpmath.log(u)) * wave(2 * turn)
