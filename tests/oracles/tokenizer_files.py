"""Model files by hand: protocol buffers field by field, BytePiece's segmentation, substrings."""

import base64
import json
import math
import struct
from collections import Counter


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """A field of a message: a number, a float or bytes."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def sentencepiece_model(pieces, *, trainer=(), normalizer=()):
    """A model of (text, score, type)."""
    parts = [(1, message((1, text), (2, float(score)), (3, kind))) for text, score, kind in pieces]
    return message(*parts, (2, message(*trainer)), (3, message(*normalizer)))


def bytepiece_model(counts, first=3):
    """BytePiece's file of pieces with counts: ids in order of length and bytes."""
    order = sorted(counts, key=lambda piece: (len(piece), piece))
    table = {
        base64.b64encode(piece).decode(): [
            first + i,
            piece.decode("utf-8", "ignore"),
            counts[piece],
        ]
        for i, piece in enumerate(order)
    }
    return json.dumps(table, indent=4, ensure_ascii=False).encode()


def best_pieces(text, scores):
    """The segmentation of the largest score, by dynamic programming over prefixes."""
    best = [(0.0, 0)] + [(-math.inf, 0)] * len(text)
    for end in range(1, len(text) + 1):
        for begin in range(end):
            score = best[begin][0] + scores.get(text[begin:end], -math.inf)
            if score > best[end][0]:
                best[end] = (score, begin)
    pieces, end = [], len(text)
    while end:
        begin = best[end][1]
        pieces.append(text[begin:end])
        end = begin
    return pieces[::-1]


def substring_counts(chunks, longest):
    """Counts of all substrings of at least two characters within counted chunks."""
    found = Counter()
    for chunk, count in chunks.items():
        text = chunk.decode()
        for begin in range(len(text)):
            for end in range(begin + 2, min(len(text), begin + longest) + 1):
                found[text[begin:end].encode()] += count
    return found


def ngram_counts(chunks, order):
    found = [Counter() for _ in range(order + 1)]
    for chunk, count in chunks.items():
        for begin in range(len(chunk)):
            for size in range(1, min(order, len(chunk) - begin) + 1):
                found[size][chunk[begin : begin + size]] += count
    return found


def ngram_log_probabilities(chunks, order, min_count):
    """log p of every n-gram that is kept, by its bytes."""
    counts = ngram_counts(chunks, order)
    for byte in range(256):
        counts[1][bytes([byte])] = counts[1].get(bytes([byte]), 0) or 1
    total = sum(counts[1].values())
    table = {}
    for size in range(1, order + 1):
        for ngram, count in counts[size].items():
            if size == 1 or count >= min_count:
                whole = total if size == 1 else counts[size - 1][ngram[:-1]]
                table[ngram] = math.log(count) - math.log(whole)
    return table


def ngram_segmentation_score(chunk, ends, table, order):
    """The score of a segmentation: each byte given those before it in its piece, < order."""
    total, begin = 0.0, 0
    for end in ends:
        for i in range(begin, end):
            k = min(i - begin, order - 1)
            total += table.get(chunk[i - k : i + 1], -math.inf)
        begin = end
    return total


def log_alternative(text, scores):
    """log of the sum of P over the segmentations of a text into at least two pieces."""
    reach = [1.0] + [0.0] * len(text)
    for end in range(1, len(text) + 1):
        for begin in range(end):
            if (begin, end) != (0, len(text)) and text[begin:end] in scores:
                reach[end] += reach[begin] * math.exp(scores[text[begin:end]])
    return math.log(reach[-1]) if reach[-1] > 0 else -math.inf


def prune_byte_pieces(counts, keep):
    """BytePiece's pruning: dropped pieces count for their parts, until none is never emitted."""
    while True:
        inner = {piece: n for piece, n in counts.items() if keep(piece, n)}
        total = sum(inner.values())
        scores = {piece: math.log(n) - math.log(total) for piece, n in inner.items()}
        found = Counter()
        for piece, n in counts.items():
            for part in best_pieces(piece, scores):
                found[part] += n
        for piece in inner:
            found[piece] = max(found[piece], 1) if len(piece) == 1 else found[piece]
        emitted = {piece: n for piece, n in found.items() if n > 0}
        if len(emitted) == len(counts):
            return emitted
        counts = {piece: found[piece] for piece in inner}
        keep = _is_emitted


def _is_emitted(_, count):
    return count > 0


def log_best_alternative(text, scores):
    """The best score of a text in at least two pieces."""
    parts = {text[i:j]: 0 for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    return best_score(text, {p: scores[p] for p in parts if p in scores and p != text})


def best_score(text, scores):
    best = [0.0] + [-math.inf] * len(text)
    for end in range(1, len(text) + 1):
        best[end] = max(
            best[begin] + scores.get(text[begin:end], -math.inf) for begin in range(end)
        )
    return best[-1]
