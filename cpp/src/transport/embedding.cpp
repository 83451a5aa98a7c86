#include "kexue/transport/embedding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kexue/core/gemm.hpp"
#include "kexue/core/index.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

constexpr ptrdiff_t kStrips = 8;  // of the product's kernel in a panel

// 2^-e and 2^e / norm for a norm near 2^e.
template <class T>
UnitScale<T> scale_for(double norm) {
  // Powers down to the smallest normal number; what is left to `factor` stays normal, too.
  constexpr int kHighest = std::numeric_limits<T>::max_exponent - 1;
  const int e = std::clamp(std::ilogb(norm), -kHighest, kHighest - 1);
  return {static_cast<T>(std::ldexp(1.0, -e)), static_cast<T>(1 / std::ldexp(norm, -e))};
}

// Zero for a zero row, NaN if an entry is not finite.
template <class T>
double norm_of(const T* x, ptrdiff_t n) {
  const double squares = emo_kernels<T>().squares(x, n);
  if (squares > 1e-280 && squares < 1e300) return std::sqrt(squares);
  double largest = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<double>::quiet_NaN();
    largest = std::max(largest, std::abs(static_cast<double>(x[i])));
  }
  if (largest == 0) return 0;
  const int e = std::ilogb(largest);
  double sum = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double v = std::ldexp(static_cast<double>(x[i]), -e);
    sum += v * v;
  }
  return std::ldexp(std::sqrt(sum), e);
}

}  // namespace

template <class T>
UnitRows<T>::UnitRows(MatrixView<const T> rows, int workers) : rows_(rows), scale_(rows.rows) {
  constexpr ptrdiff_t kEntries = 1 << 16;
  const ptrdiff_t per_chunk = std::max<ptrdiff_t>(1, kEntries / std::max<ptrdiff_t>(1, rows.cols));
  const ptrdiff_t n_chunks = ceil_div(rows.rows, per_chunk);
  AlignedBuffer<Verdict> verdicts(n_chunks);
  parallel_for(
      n_chunks,
      [&](ptrdiff_t chunk, int) {
        verdicts[chunk] = {};
        const ptrdiff_t last = std::min(rows_.rows, (chunk + 1) * per_chunk);
        for (ptrdiff_t i = chunk * per_chunk; i < last; ++i) {
          const double norm = norm_of(rows_.row(i), rows_.cols);
          if (norm > 0) {
            scale_[i] = scale_for<T>(norm);
          } else if (verdicts[chunk].fault == Fault::none) {
            verdicts[chunk] = {norm == 0 ? Fault::embedding_zero : Fault::embedding_not_finite, i};
          }
        }
      },
      workers);
  for (ptrdiff_t chunk = 0; chunk < n_chunks && verdict_.fault == Fault::none; ++chunk) {
    verdict_ = verdicts[chunk];
  }
}

template <class T>
void UnitRows<T>::copy(ptrdiff_t row, T* out) const {
  emo_kernels<T>().scale(rows_.row(row), scale_[row], out, rows_.cols);
}

template <class T>
void UnitRows<T>::pack(ptrdiff_t first_row, ptrdiff_t first_column, ptrdiff_t depth,
                       ptrdiff_t width, T* out) const {
  const ptrdiff_t n = std::clamp<ptrdiff_t>(rows_.rows - first_row, 0, width);
  const ptrdiff_t from = n > 0 ? first_row : 0;
  emo_kernels<T>().pack(rows_.row(from) + first_column, rows_.row_stride, scale_.data() + from, n,
                        depth, width, out);
}

template <class T>
double UnitRows<T>::half_distance(ptrdiff_t i, ptrdiff_t j) const {
  const auto wide = [&](ptrdiff_t row) {
    return scale_for<double>(norm_of(rows_.row(row), rows_.cols));
  };
  return emo_kernels<T>().half_distance(rows_.row(i), wide(i), rows_.row(j), wide(j), rows_.cols);
}

template <class T>
PackedTargets<T>::PackedTargets(ptrdiff_t rows, ptrdiff_t depth)
    : depth_(depth), mr_(gemm_kernels<T>().mr), n_strips_(ceil_div(rows, mr_)) {
  data_ = AlignedBuffer<T>(padded_rows() * depth_);
  if (rows % mr_ != 0) {
    std::fill_n(data_.data() + (n_strips_ - 1) * depth_ * mr_, depth_ * mr_, T(0));
  }
}
template <class T>
void PackedTargets<T>::set_row(ptrdiff_t i, const T* row) {
  T* out = data_.data() + i / mr_ * depth_ * mr_ + i % mr_;
  for (ptrdiff_t k = 0; k < depth_; ++k) out[k * mr_] = row[k];
}

template <class T>
ptrdiff_t panel_width() {
  return kStrips * gemm_kernels<T>().nr;
}
template <class T>
ptrdiff_t panel_scratch(ptrdiff_t depth) {
  return std::min(depth, kGemmDepth) * panel_width<T>();
}

template <class T>
void multiply_panel(const PackedTargets<T>& targets, const UnitRows<T>& rows, ptrdiff_t first,
                    T* scratch, T* s) {
  const auto& kernels = gemm_kernels<T>();
  const ptrdiff_t mr = kernels.mr, nr = kernels.nr, width = panel_width<T>();
  std::fill_n(s, targets.padded_rows() * width, T(0));
  const ptrdiff_t strips = std::min(kStrips, ceil_div(rows.rows() - first, nr));
  for (ptrdiff_t k0 = 0; k0 < targets.depth(); k0 += kGemmDepth) {
    const ptrdiff_t depth = std::min(kGemmDepth, targets.depth() - k0);
    for (ptrdiff_t c = 0; c < strips; ++c) {
      T* packed = scratch + c * depth * nr;
      rows.pack(first + c * nr, k0, depth, nr, packed);
      for (ptrdiff_t r = 0; r < targets.n_strips(); ++r) {
        kernels.micro(depth, targets.strip(r) + k0 * mr, packed, nr, s + r * mr * width + c * nr,
                      width);
      }
    }
  }
}

template <class T>
Verdict embedding_cost(MatrixView<const T> embeddings, MatrixView<T> cost, int workers) {
  const UnitRows<T> rows(embeddings, workers);
  if (rows.verdict().fault != Fault::none) return rows.verdict();
  const ptrdiff_t n = rows.rows(), depth = rows.depth(), width = panel_width<T>();
  // A block of targets and its products stay in the second-level cache.
  constexpr ptrdiff_t kBytes = 2 << 20;
  const ptrdiff_t most = kBytes / (depth * static_cast<ptrdiff_t>(sizeof(T)));
  const ptrdiff_t block = std::min(n, std::clamp<ptrdiff_t>(most, 12, 384));
  const ptrdiff_t n_panels = ceil_div(n, width);
  const int used = planned_workers(n_panels, n * n * depth < (1 << 18) ? 1 : workers);
  const ptrdiff_t packed = panel_scratch<T>(depth);
  const ptrdiff_t room = packed + (block + gemm_kernels<T>().mr) * width;
  AlignedBuffer<T> scratch(used * room), row(depth);
  for (ptrdiff_t i0 = 0; i0 < n; i0 += block) {
    const ptrdiff_t count = std::min(block, n - i0);
    PackedTargets<T> targets(count, depth);
    for (ptrdiff_t i = 0; i < count; ++i) {
      rows.copy(i0 + i, row.data());
      targets.set_row(i, row.data());
    }
    parallel_for(
        n_panels,
        [&](ptrdiff_t panel, int slot) {
          T* own = scratch.data() + slot * room;
          T* s = own + packed;
          const ptrdiff_t first = panel * width, last = std::min(n, first + width);
          multiply_panel(targets, rows, first, own, s);
          for (ptrdiff_t i = 0; i < count; ++i) {
            T* out = &cost(i0 + i, first);
            for (ptrdiff_t j = first; j < last; ++j) {
              T c = std::max(T(0), T(1) - s[i * width + j - first]);
              if (c < T(0x1p-5)) {
                c = i0 + i == j ? T(0) : static_cast<T>(rows.half_distance(i0 + i, j));
              }
              out[j - first] = c;
            }
          }
        },
        used);
  }
  return {};
}

template <class T>
RowMass mass_of(VectorView<const T> weights) {
  RowMass m;
  T peak = weights.size > 0 ? weights[0] : T(0);
  for (ptrdiff_t j = 0; j < weights.size; ++j) {
    const T w = weights[j];
    m.sound = m.sound && w >= 0;
    if (w > peak) {
      peak = w;
      m.pivot = j;
    }
  }
  for (ptrdiff_t j = 0; j < m.pivot; ++j) m.rest += static_cast<double>(weights[j]);
  for (ptrdiff_t j = m.pivot + 1; j < weights.size; ++j) m.rest += static_cast<double>(weights[j]);
  m.peak = static_cast<double>(peak);
  return m;
}

template <class T>
void contexts(const UnitRows<T>& rows, MatrixView<const T> weights, const ptrdiff_t* pivot,
              const double* factor, MatrixView<T> context, int workers) {
  const ptrdiff_t depth = rows.depth(), n = weights.rows;
  constexpr ptrdiff_t kBytes = 1 << 20;
  const ptrdiff_t most = kBytes / (depth * static_cast<ptrdiff_t>(sizeof(T)));
  const ptrdiff_t block = std::min(rows.rows(), std::clamp<ptrdiff_t>(most, 32, 512));
  AlignedBuffer<T> unit(block * depth), weighed(n * block);
  for (ptrdiff_t first = 0; first < rows.rows(); first += block) {
    const ptrdiff_t count = std::min(block, rows.rows() - first);
    for (ptrdiff_t j = 0; j < count; ++j) rows.copy(first + j, unit.data() + j * depth);
    for (ptrdiff_t r = 0; r < n; ++r) {
      T* out = weighed.data() + r * count;
      for (ptrdiff_t j = 0; j < count; ++j) {
        out[j] = static_cast<T>(factor[r] * static_cast<double>(weights(r, first + j)));
      }
      if (pivot[r] >= first && pivot[r] < first + count) out[pivot[r] - first] = 0;
    }
    gemm<T>(1, row_major<const T>(weighed.data(), n, count), false,
            row_major<const T>(unit.data(), count, depth), first > 0, context, workers);
  }
}

template <class T>
Verdict demd(MatrixView<const T> p, MatrixView<const T> tau, MatrixView<const T> embeddings,
             double* values, int workers) {
  const UnitRows<T> rows(embeddings, workers);
  if (rows.verdict().fault != Fault::none) return rows.verdict();
  const ptrdiff_t depth = rows.depth(), n = p.rows;
  const ptrdiff_t block = std::min(n, std::clamp<ptrdiff_t>((ptrdiff_t{1} << 19) / depth, 16, 512));
  AlignedBuffer<T> from_p(block * depth), from_tau(block * depth), peak(depth);
  AlignedBuffer<ptrdiff_t> pivots(block);
  AlignedBuffer<double> p_factor(block), tau_factor(block);
  struct Shares {
    double p_peak, p_rest, tau_peak, tau_rest;
  };
  AlignedBuffer<Shares> shares(block);
  for (ptrdiff_t r0 = 0; r0 < n; r0 += block) {
    const ptrdiff_t count = std::min(block, n - r0);
    parallel_for(
        count,
        [&](ptrdiff_t r, int) {
          const VectorView<const T> masses{p.row(r0 + r), p.cols, p.col_stride};
          const RowMass target = mass_of<T>({tau.row(r0 + r), tau.cols, tau.col_stride});
          const double p_peak = static_cast<double>(masses[target.pivot]);
          double p_rest = 0;
          for (ptrdiff_t i = 0; i < masses.size; ++i) {
            if (i != target.pivot) p_rest += static_cast<double>(masses[i]);
          }
          pivots[r] = target.pivot;
          const double fp = 1 / (p_rest + p_peak), ft = 1 / target.sum();
          p_factor[r] = fp;
          tau_factor[r] = ft;
          shares[r] = {p_peak * fp, p_rest * fp, target.peak * ft, target.rest * ft};
        },
        count * p.cols < (1 << 15) ? 1 : workers);
    const auto context_p = row_major(from_p.data(), count, depth);
    const auto context_tau = row_major(from_tau.data(), count, depth);
    contexts(rows, p.block(r0, 0, count, p.cols), pivots.data(), p_factor.data(), context_p,
             workers);
    contexts(rows, tau.block(r0, 0, count, tau.cols), pivots.data(), tau_factor.data(), context_tau,
             workers);
    for (ptrdiff_t r = 0; r < count; ++r) {
      rows.copy(pivots[r], peak.data());
      const T *u = context_p.row(r), *v = context_tau.row(r);
      double at_peak = 0, across = 0;
      for (ptrdiff_t k = 0; k < depth; ++k) {
        const double e = static_cast<double>(peak[k]), w = static_cast<double>(v[k]);
        at_peak += e * w;
        across += static_cast<double>(u[k]) * (shares[r].tau_peak * e + w);
      }
      values[r0 + r] = shares[r].p_peak * std::max(0.0, shares[r].tau_rest - at_peak) +
                       std::max(0.0, shares[r].p_rest - across);
    }
  }
  return {};
}

#define KEXUE_INSTANTIATE(T)                                                                       \
  template class UnitRows<T>;                                                                      \
  template class PackedTargets<T>;                                                                 \
  template ptrdiff_t panel_width<T>();                                                             \
  template ptrdiff_t panel_scratch<T>(ptrdiff_t);                                                  \
  template void multiply_panel<T>(const PackedTargets<T>&, const UnitRows<T>&, ptrdiff_t, T*, T*); \
  template Verdict embedding_cost<T>(MatrixView<const T>, MatrixView<T>, int);                     \
  template RowMass mass_of<T>(VectorView<const T>);                                                \
  template void contexts<T>(const UnitRows<T>&, MatrixView<const T>, const ptrdiff_t*,             \
                            const double*, MatrixView<T>, int);                                    \
  template Verdict demd<T>(MatrixView<const T>, MatrixView<const T>, MatrixView<const T>, double*, \
                           int);
KEXUE_INSTANTIATE(float)
KEXUE_INSTANTIATE(double)
#undef KEXUE_INSTANTIATE

}  // namespace kexue::transport
