// Fourier sums over an equispaced grid t_j = 2 j / G of the period 2, pruned to few frequencies:
//
//   values:   B_j = sum_k b_k e^{i pi k t_j},  k < M      moments: m_k = sum_j v_j e^{-i pi k t_j}
//
// G = rows * lanes. For every lane r the nodes j = r + lanes q form one transform of length `rows`,
// and the lanes stand side by side in memory: all loops are contiguous and no node is reordered.
// Frequencies go up to rows - 1. Cost O(G log rows); roots are exact to an ulp or two.
#pragma once

#include <cstddef>
#include <memory>

#include "kexue/core/buffer.hpp"

namespace kexue::density {

struct SplitArray {
  explicit SplitArray(std::ptrdiff_t n) : re(n), im(n) {}
  AlignedBuffer<double> re, im;
};

class Transform {
 public:
  static constexpr std::ptrdiff_t kMinRows = 32, kMaxRows = std::ptrdiff_t{1} << 20;

  Transform(std::ptrdiff_t rows, std::ptrdiff_t lanes);
  // From a cache that keeps a few: the roots cost more than a transform.
  static std::shared_ptr<const Transform> get(std::ptrdiff_t rows, std::ptrdiff_t lanes);

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t nodes() const { return rows_ * lanes_; }
  // b has m <= rows entries; out and scratch have nodes() entries.
  void values(const double* b_re, const double* b_im, std::ptrdiff_t m, SplitArray& out,
              SplitArray& scratch) const;
  // v is destroyed; out has m <= rows entries.
  void moments(SplitArray& v, SplitArray& scratch, std::ptrdiff_t m, double* out_re,
               double* out_im) const;

 private:
  std::ptrdiff_t rows_, lanes_;
  SplitArray root_;  // e^{-2 pi i k / rows}
  SplitArray turn_;  // e^{2 pi i k r / G} in row k, lane r
};

}  // namespace kexue::density
