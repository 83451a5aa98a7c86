// Sorting of finite doubles, with or without a 64-bit companion each.
//
// Least-significant-digit radix sort, a byte at a time: one pass counts all eight digits, and
// digits that are the same in all keys (widened float32, integers) are skipped. Stable, O(n). Short
// inputs are sorted by comparison.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace kexue::transport {

// Bits of a finite double as an integer of the same order; -0 comes before +0.
std::uint64_t ordered_bits(double x);
double from_ordered_bits(std::uint64_t bits);

// Interrupts of long passes inside a region: the thread that opened it polls, the others learn that
// it has given up.
class Watch {
 public:
  static constexpr std::ptrdiff_t kBlock = std::ptrdiff_t{1} << 17;  // items between two looks

  // False where another thread has given up: results are no longer wanted.
  bool go_on();

 private:
  std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<bool> given_up_{false};
};

// Sorts x[0, n) into sorted; scratch holds 2 n words.
void sort_values(const double* x, std::ptrdiff_t n, std::uint64_t* scratch, double* sorted,
                 Watch& watch);

// The same with companions, scratch holds 4 n words.
void sort_pairs(const double* x, const std::uint64_t* companion, std::ptrdiff_t n,
                std::uint64_t* scratch, double* sorted, std::uint64_t* sorted_companion,
                Watch& watch);

}  // namespace kexue::transport
