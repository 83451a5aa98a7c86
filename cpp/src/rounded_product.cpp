#include <algorithm>

#include "blocks.hpp"
#include "kexue/core/gemm.hpp"
#include "kexue/core/pool.hpp"
#include "narrow_products.hpp"
#include "packing.hpp"

namespace kexue {

namespace {

using std::ptrdiff_t;

// Products of one sum in single precision: part of what gemm.hpp says of the error.
constexpr ptrdiff_t kDepth = 320;

// What a worker does with a group of strips of B.
class RoundedGroup {
 public:
  static constexpr ptrdiff_t kStrips = 4;  // one kilobyte of every row of B
  // Strips a power of two apart would compete for the same places of the first-level cache.
  static ptrdiff_t block_size() { return kDepth * gemm_kernels<float>().nr + 80; }

  RoundedGroup(const PackedRows<float>& a, MatrixView<const double> b, MatrixView<double> c,
               ptrdiff_t group, float* packed)
      : a_(a),
        b_(b),
        c_(c),
        first_(group * kStrips),
        last_(std::min(first_ + kStrips, ceil_div(c.cols, kernels_.nr))),
        packed_(packed) {}

  void multiply() const {
    const ptrdiff_t nr = kernels_.nr, depth = b_.rows, step = depth_step(depth, kDepth);
    const ptrdiff_t cols = std::min(c_.cols, last_ * nr) - first_ * nr, n = a_.n_strips();
    constexpr ptrdiff_t kSize = sizeof(double);
    clear_block(c_, first_ * nr, cols);
    for (ptrdiff_t k0 = 0; k0 < depth; k0 += step) {
      const ptrdiff_t kc = std::min(step, depth - k0), next = std::min(step, depth - k0 - kc);
      pack(k0, kc);
      Ahead rows(reinterpret_cast<const char*>(next > 0 ? &b_(k0 + kc, first_ * nr) : b_.data),
                 b_.col_stride == 1 ? next : 0, b_.row_stride * kSize, cols * kSize,
                 (last_ - first_) * n);
      for (ptrdiff_t r0 = 0; r0 < n; r0 += kRowStrips) {
        for (ptrdiff_t s = first_; s < last_; ++s) {
          for (ptrdiff_t r = r0; r < std::min(n, r0 + kRowStrips); ++r) {
            rows.fetch();
            tile(r, s, k0, kc);
          }
        }
      }
    }
  }

 private:
  float* block(ptrdiff_t s) const { return packed_ + (s - first_) * block_size(); }

  void pack(ptrdiff_t k0, ptrdiff_t kc) const {
    const ptrdiff_t nr = kernels_.nr;
    ptrdiff_t s = first_;
    if (const ptrdiff_t whole = std::min(last_, c_.cols / nr); b_.col_stride == 1 && whole > s) {
      rounding_.pack(kc, &b_(k0, s * nr), b_.row_stride, whole - s, packed_, block_size());
      s = whole;
    }
    for (; s < last_; ++s) {
      const ptrdiff_t width = std::min(nr, c_.cols - s * nr);
      float* out = block(s);
      for (ptrdiff_t k = 0; k < kc; ++k, out += nr) {
        for (ptrdiff_t j = 0; j < width; ++j) out[j] = static_cast<float>(b_(k0 + k, s * nr + j));
        std::fill(out + width, out + nr, 0.0F);
      }
    }
  }

  void tile(ptrdiff_t r, ptrdiff_t s, ptrdiff_t k0, ptrdiff_t kc) const {
    const ptrdiff_t mr = kernels_.mr, nr = kernels_.nr;
    const ptrdiff_t rows = std::min(mr, a_.rows() - r * mr), cols = c_.cols - s * nr;
    alignas(64) float sums[kMaxTile];
    std::fill_n(sums, mr * nr, 0.0F);
    kernels_.micro(kc, a_.strip(r) + k0 * mr, block(s), nr, sums, nr);
    double* c = &c_(r * mr, s * nr);
    if (cols >= nr) return rounding_.add(rows, sums, c, c_.row_stride);
    for (ptrdiff_t i = 0; i < rows; ++i) {
      for (ptrdiff_t j = 0; j < cols; ++j) c[i * c_.row_stride + j] += sums[i * nr + j];
    }
  }

  const GemmKernels<float>& kernels_ = gemm_kernels<float>();
  const RoundingKernels& rounding_ = gemm_tables().rounding;
  const PackedRows<float>& a_;
  MatrixView<const double> b_;
  MatrixView<double> c_;
  ptrdiff_t first_, last_;
  float* packed_;
};

// The entries of q, (rows, cols) in order.
AlignedBuffer<float> rounded(MatrixView<const double> q, int workers) {
  AlignedBuffer<float> out(q.rows * q.cols);
  parallel_for(
      q.rows,
      [&](ptrdiff_t i, int) {
        float* row = out.data() + i * q.cols;
        for (ptrdiff_t j = 0; j < q.cols; ++j) row[j] = static_cast<float>(q(i, j));
      },
      workers_for(product_flops(1, q.rows, q.cols), workers));
  return out;
}

}  // namespace

void rounded_product(MatrixView<const double> q, MatrixView<const double> b, MatrixView<double> c,
                     int workers) {
  const AlignedBuffer<float> memory = rounded(q, workers);
  const auto a = row_major<const float>(memory.data(), q.rows, q.cols).transposed();
  const ptrdiff_t width = RoundedGroup::kStrips * gemm_kernels<float>().nr;
  const ptrdiff_t groups = ceil_div(c.cols, width);
  // Ctrl-C waits for a group of columns: so many rows that one takes a twentieth of a second.
  const auto most_rows =
      std::max<ptrdiff_t>(384, static_cast<ptrdiff_t>(3e9 / product_flops(1, b.rows + 1, width)));
  const double flops = product_flops(a.rows, b.rows, c.cols);
  const int used = planned_workers(groups, workers_for(flops, workers));
  AlignedBuffer<float> scratch(used * RoundedGroup::kStrips * RoundedGroup::block_size());
  for (ptrdiff_t i = 0; i < a.rows; i += most_rows) {
    const ptrdiff_t rows = std::min(most_rows, a.rows - i);
    const PackedRows<float> packed(a.block(i, 0, rows, a.cols), false, 1.0F, workers);
    parallel_for(
        groups,
        [&](ptrdiff_t g, int slot) {
          const ptrdiff_t place = slot * RoundedGroup::kStrips * RoundedGroup::block_size();
          RoundedGroup(packed, b, c.block(i, 0, rows, c.cols), g, scratch.data() + place)
              .multiply();
        },
        used);
  }
}

}  // namespace kexue
