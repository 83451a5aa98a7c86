// Vectors of a density's points, the last of them incomplete.
#pragma once

#include <cstddef>

#include "lanes.hpp"

namespace kexue::density::KEXUE_ISA {
namespace {

using namespace kexue::KEXUE_ISA;

constexpr std::ptrdiff_t kStep = kLanes<double>;

// Of n <= kStep entries; those beyond are zero.
KEXUE_INLINE F64 load_some(const double* p, std::ptrdiff_t n) {
  return load_up_to<double>(p, n, 0.0);
}
KEXUE_INLINE void store_some(double* p, F64 v, std::ptrdiff_t n) {
  if (n >= kStep) {
    store<double>(p, v);
  } else {
    store_part<double>(p, v, n);
  }
}

}  // namespace
}  // namespace kexue::density::KEXUE_ISA
