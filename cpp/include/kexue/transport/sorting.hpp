// Sorting of finite doubles, with or without a 64-bit companion each.
//
// Least-significant-digit radix sort, a byte at a time: one pass counts all eight digits, and
// digits that are the same in all keys (widened float32, integers) are skipped. Stable, O(n). Short
// inputs are sorted by comparison.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kexue::transport {

// Bits of a finite double as an integer of the same order; -0 comes before +0.
std::uint64_t ordered_bits(double x);
double from_ordered_bits(std::uint64_t bits);

// Sorts x[0, n) into sorted; scratch holds 2 n words.
void sort_values(const double* x, std::ptrdiff_t n, std::uint64_t* scratch, double* sorted);

// The same with companions, scratch holds 4 n words.
void sort_pairs(const double* x, const std::uint64_t* companion, std::ptrdiff_t n,
                std::uint64_t* scratch, double* sorted, std::uint64_t* sorted_companion);

}  // namespace kexue::transport
