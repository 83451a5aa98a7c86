#include "gibbs.hpp"

#include <cmath>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"
#include "kexue/transport/kernels.hpp"

namespace kexue::transport {

namespace {
constexpr std::ptrdiff_t kChunks = 32;
// Entries below which a chunk is not worth handing out: about ten microseconds.
constexpr std::ptrdiff_t kChunkEntries = 65536;
// Beyond, memory sets the pace of a pass and not arithmetic, and a kernel is not kept.
constexpr std::ptrdiff_t kNearBytes = std::ptrdiff_t{1} << 24;

std::ptrdiff_t rows_per_chunk(std::ptrdiff_t n, std::ptrdiff_t m) {
  const std::ptrdiff_t least = std::max((n + kChunks - 1) / kChunks, kChunkEntries / m);
  return (std::max<std::ptrdiff_t>(least, 1) + kBlockRows - 1) / kBlockRows * kBlockRows;
}
}  // namespace

// ---- Costs --------------------------------------------------------------------------------------

Costs::Costs(MatrixView<const double> matrix)
    : rows_(matrix.rows), cols_(matrix.cols), matrix_(matrix) {
  require(rows_ > 0 && cols_ > 0 && matrix.rows_contiguous(), "costs must be rows, not empty");
}

Costs::Costs(MatrixView<const double> x, MatrixView<const double> y, PointCost kind)
    : rows_(x.rows), cols_(y.rows), x_(x), y_(x.cols * padded_row(y.rows)), kind_(kind) {
  require(rows_ > 0 && cols_ > 0 && x.cols == y.cols, "points of one dimension, not empty");
  require(x.rows_contiguous() && y.rows_contiguous(), "points must lie in rows");
  const std::ptrdiff_t padded = padded_row(cols_);
  for (std::ptrdiff_t k = 0; k < x.cols; ++k) {
    for (std::ptrdiff_t j = 0; j < padded; ++j) y_[k * padded + j] = j < cols_ ? y(j, k) : 0.0;
  }
}

const double* Costs::row(std::ptrdiff_t i, double* scratch) const {
  if (!points()) return matrix_.row(i);
  sinkhorn_kernels().point_costs(x_.row(i), x_.cols, y_.data(), padded_row(cols_), kind_, scratch);
  return scratch;
}

void Costs::pull(std::ptrdiff_t i, const double* c, const double* p, double* pull) const {
  sinkhorn_kernels().point_pull(x_.row(i), x_.cols, y_.data(), padded_row(cols_), kind_, c, p,
                                pull);
}

namespace {
// f(i, row, chunk) over all rows; chunks as in Gibbs.
template <class F>
void each_cost_row(const Costs& costs, int workers, std::ptrdiff_t chunk_rows, F&& f) {
  const std::ptrdiff_t chunks = (costs.rows() + chunk_rows - 1) / chunk_rows;
  const int slots = planned_workers(chunks, workers);
  const AlignedBuffer<double> scratch(costs.scratch() * slots);
  parallel_for(
      chunks,
      [&](std::ptrdiff_t chunk, int slot) {
        const std::ptrdiff_t end = std::min(costs.rows(), (chunk + 1) * chunk_rows);
        for (std::ptrdiff_t i = chunk * chunk_rows; i < end; ++i) {
          f(i, costs.row(i, scratch.data() + slot * costs.scratch()), chunk);
        }
      },
      slots);
}
}  // namespace

CostRange range_of(const Costs& costs, int workers) {
  const std::ptrdiff_t chunk_rows = rows_per_chunk(costs.rows(), costs.cols());
  const std::ptrdiff_t chunks = (costs.rows() + chunk_rows - 1) / chunk_rows;
  std::vector<CostRange> part(static_cast<std::size_t>(chunks), {kInf, -kInf, false, false});
  each_cost_row(costs, workers, chunk_rows,
                [&](std::ptrdiff_t, const double* c, std::ptrdiff_t chunk) {
                  const CostExtent e = sinkhorn_kernels().extent(c, costs.cols());
                  CostRange& to = part[static_cast<std::size_t>(chunk)];
                  to = {std::min(to.lowest, e.lowest), std::max(to.highest, e.highest),
                        to.invalid || e.invalid, to.forbidden || e.finite < costs.cols()};
                });
  CostRange all = part[0];
  for (const CostRange& p : part) {
    all = {std::min(all.lowest, p.lowest), std::max(all.highest, p.highest),
           all.invalid || p.invalid, all.forbidden || p.forbidden};
  }
  return all;
}

namespace {
// f with -inf where there is no mass: such a row or column binds nobody.
AlignedBuffer<double> bound(const double* f, const double* mass, std::ptrdiff_t n) {
  AlignedBuffer<double> out(padded_row(n));
  for (std::ptrdiff_t i = 0; i < out.size(); ++i) {
    out[i] = i < n && mass[i] > 0 && f[i] < kInf ? f[i] : -kInf;
  }
  return out;
}
}  // namespace

void c_transform(const Costs& costs, const double* a, const double* b, const double* f, double* r,
                 double* h, int workers) {
  const std::ptrdiff_t n = costs.rows(), m = costs.cols(), padded = padded_row(m);
  const std::ptrdiff_t chunk_rows = rows_per_chunk(n, m);
  const std::ptrdiff_t chunks = (n + chunk_rows - 1) / chunk_rows;
  const SinkhornKernels& kernels = sinkhorn_kernels();
  const AlignedBuffer<double> low(chunks * padded);
  std::fill(low.data(), low.data() + chunks * padded, kInf);
  each_cost_row(costs, workers, chunk_rows,
                [&](std::ptrdiff_t i, const double* c, std::ptrdiff_t chunk) {
                  if (a[i] > 0 && f[i] < kInf) {
                    kernels.lower(c, f[i], low.data() + chunk * padded, m);
                  }
                });
  std::copy(low.data(), low.data() + m, h);
  for (std::ptrdiff_t k = 1; k < chunks; ++k) {
    for (std::ptrdiff_t j = 0; j < m; ++j) h[j] = std::min(h[j], low[k * padded + j]);
  }
  const AlignedBuffer<double> g = bound(h, b, m);
  each_cost_row(costs, workers, chunk_rows, [&](std::ptrdiff_t i, const double* c, std::ptrdiff_t) {
    r[i] = row_kernels().f64.minimum(c, g.data(), m).value;
  });
}

double hard_start(const Costs& costs, const double* a, const double* b, double* f, double* g,
                  int workers) {
  const std::ptrdiff_t n = costs.rows(), m = costs.cols(), padded = padded_row(m);
  const std::ptrdiff_t chunk_rows = rows_per_chunk(n, m);
  const std::ptrdiff_t chunks = (n + chunk_rows - 1) / chunk_rows;
  const SinkhornKernels& kernels = sinkhorn_kernels();
  const AlignedBuffer<double> low(chunks * padded), top(chunks * padded), none(padded);
  std::fill(low.data(), low.data() + chunks * padded, kInf);
  std::fill(top.data(), top.data() + chunks * padded, -kInf);
  for (std::ptrdiff_t j = 0; j < padded; ++j) none[j] = j < m && b[j] > 0 ? 0.0 : -kInf;
  each_cost_row(costs, workers, chunk_rows,
                [&](std::ptrdiff_t i, const double* c, std::ptrdiff_t chunk) {
                  f[i] = row_kernels().f64.minimum(c, none.data(), m).value;
                  if (a[i] > 0 && f[i] < kInf) {
                    kernels.lower_and_raise(c, f[i], low.data() + chunk * padded,
                                            top.data() + chunk * padded, m);
                  }
                });
  double width = 0;
  for (std::ptrdiff_t j = 0; j < m; ++j) {
    double highest = -kInf;
    g[j] = kInf;
    for (std::ptrdiff_t k = 0; k < chunks; ++k) {
      g[j] = std::min(g[j], low[k * padded + j]);
      highest = std::max(highest, top[k * padded + j]);
    }
    if (b[j] > 0 && g[j] < kInf) width = std::max(width, highest - g[j]);
  }
  return width;
}

// ---- The kernel ---------------------------------------------------------------------------------

Gibbs::Gibbs(const Costs& costs, bool single, std::ptrdiff_t stored_bytes, int workers)
    : costs_(&costs),
      single_(single),
      padded_(padded_row(costs.cols())),
      chunk_rows_(rows_per_chunk(costs.rows(), costs.cols())),
      n_chunks_((costs.rows() + chunk_rows_ - 1) / chunk_rows_),
      stored_rows_(std::min(costs.rows(),
                            stored_bytes / (padded_ * entry_bytes()) / kBlockRows * kBlockRows)),
      slots_(planned_workers(n_chunks_, workers)),
      f_(static_cast<std::size_t>(costs.rows())),
      g_(padded_),
      partial_(n_chunks_ > 1 ? n_chunks_ * padded_ : 0),
      cost_rows_(costs.points() ? slots_ * padded_ : 0) {
  if (stored_bytes / entry_bytes() / padded_ >= costs.rows()) stored_rows_ = costs.rows();
  stored_ = AlignedBuffer<char>(stored_rows_ * padded_ * entry_bytes());
  if (single_ && stored_rows_ == costs.rows() && stored_.size() < kNearBytes) {
    coarse_ = AlignedBuffer<float>((slots_ + 1) * padded_);
  }
  if (stored_rows_ < costs.rows()) {
    fresh_ = AlignedBuffer<char>(slots_ * kBlockRows * padded_ * entry_bytes());
  }
}

void Gibbs::absorb(const double* f, const double* g, double reg) {
  std::copy(f, f + rows(), f_.begin());
  std::copy(g, g + cols(), g_.data());
  std::fill(g_.data() + cols(), g_.data() + padded_, 0.0);
  inverse_reg_ = 1 / reg;
  if (stored_rows_ == 0 || taken_) return;
  parallel_for(
      n_chunks_,
      [&](std::ptrdiff_t chunk, int slot) {
        const std::ptrdiff_t begin = chunk * chunk_rows_;
        const std::ptrdiff_t end = std::min(stored_rows_, begin + chunk_rows_);
        if (begin < end) {
          fill(begin, end - begin, slot, stored_.data() + begin * padded_ * entry_bytes());
        }
      },
      slots_);
}

std::shared_ptr<const AlignedBuffer<char>> Gibbs::give() {
  if (stored_rows_ < rows() || stored_.size() >= kNearBytes) return nullptr;
  stored_rows_ = 0;
  return std::make_shared<const AlignedBuffer<char>>(std::move(stored_));
}

void Gibbs::take(std::shared_ptr<const AlignedBuffer<char>> kernel) {
  require(kernel->size() == rows() * padded_ * entry_bytes(), "a kernel of another shape");
  taken_ = std::move(kernel);
  stored_rows_ = rows();
}

void Gibbs::fill(std::ptrdiff_t i, std::ptrdiff_t count, int slot, void* to) const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  for (std::ptrdiff_t r = 0; r < count; ++r) {
    const double* c = costs_->row(i + r, cost_scratch(slot));
    const double f = f_[static_cast<std::size_t>(i + r)];
    if (single_) {
      kernels.f32.exponentials(c, cols(), f, g_.data(), inverse_reg_,
                               static_cast<float*>(to) + r * padded_, padded_);
    } else {
      kernels.f64.exponentials(c, cols(), f, g_.data(), inverse_reg_,
                               static_cast<double*>(to) + r * padded_, padded_);
    }
  }
}

const void* Gibbs::block(std::ptrdiff_t i, std::ptrdiff_t count, int slot) {
  if (i + count <= stored_rows_) {
    return (taken_ ? taken_->data() : stored_.data()) + i * padded_ * entry_bytes();
  }
  char* to = fresh_.data() + slot * kBlockRows * padded_ * entry_bytes();
  fill(i, count, slot, to);
  return to;
}

void Gibbs::balanced_pass(const double* w, const double* a, double omega, double* s, double* u,
                          double* t) {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  parallel_for(
      n_chunks_,
      [&](std::ptrdiff_t chunk, int slot) {
        double* sum = n_chunks_ == 1 ? t : partial_.data() + chunk * padded_;
        std::fill(sum, sum + padded_, 0.0);
        const std::ptrdiff_t begin = chunk * chunk_rows_;
        const std::ptrdiff_t end = std::min(rows(), begin + chunk_rows_);
        // Stored rows lie one after the other; others are made a block at a time.
        for (std::ptrdiff_t i = begin; i < end;) {
          const std::ptrdiff_t count =
              i < stored_rows_ ? std::min(end, stored_rows_) - i : std::min(kBlockRows, end - i);
          const void* k = block(i, count, slot);
          if (single_) {
            kernels.f32.balanced(static_cast<const float*>(k), padded_, count, w, a + i, omega,
                                 s + i, u + i, sum, padded_);
          } else {
            kernels.f64.balanced(static_cast<const double*>(k), padded_, count, w, a + i, omega,
                                 s + i, u + i, sum, padded_);
          }
          i += count;
        }
      },
      slots_);
  if (n_chunks_ > 1) reduce(t);
}

void Gibbs::coarse_pass(const double* w, const double* a, double omega, double* s, double* u,
                        double* t) {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  float* narrow = coarse_.data();
  for (std::ptrdiff_t j = 0; j < padded_; ++j) narrow[j] = static_cast<float>(w[j]);
  parallel_for(
      n_chunks_,
      [&](std::ptrdiff_t chunk, int slot) {
        float* part = narrow + (slot + 1) * padded_;
        std::fill(part, part + padded_, 0.0F);
        const std::ptrdiff_t begin = chunk * chunk_rows_;
        const std::ptrdiff_t end = std::min(rows(), begin + chunk_rows_);
        const float* k = reinterpret_cast<const float*>(stored_.data()) + begin * padded_;
        kernels.coarse(k, padded_, end - begin, narrow, a + begin, omega, s + begin, u + begin,
                       part, padded_);
        double* sum = n_chunks_ == 1 ? t : partial_.data() + chunk * padded_;
        for (std::ptrdiff_t j = 0; j < padded_; ++j) sum[j] = static_cast<double>(part[j]);
      },
      slots_);
  if (n_chunks_ > 1) reduce(t);
}

void Gibbs::reduce(double* t) {
  // Columns in strips, each over all chunks in order.
  constexpr std::ptrdiff_t kStrip = 512;
  const std::ptrdiff_t strips = (padded_ + kStrip - 1) / kStrip;
  const bool worth = padded_ * n_chunks_ > 4 * kChunkEntries;
  parallel_for(
      strips,
      [&](std::ptrdiff_t strip, int) {
        const std::ptrdiff_t begin = strip * kStrip, end = std::min(padded_, begin + kStrip);
        std::copy(partial_.data() + begin, partial_.data() + end, t + begin);
        for (std::ptrdiff_t k = 1; k < n_chunks_; ++k) {
          const double* from = partial_.data() + k * padded_;
          for (std::ptrdiff_t j = begin; j < end; ++j) t[j] += from[j];
        }
      },
      worth ? slots_ : 1);
}

void Gibbs::dots(const void* k, std::ptrdiff_t count, const double* w, double* s) const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  if (single_) {
    kernels.f32.dots(static_cast<const float*>(k), padded_, count, w, padded_, s);
  } else {
    kernels.f64.dots(static_cast<const double*>(k), padded_, count, w, padded_, s);
  }
}
void Gibbs::add(const void* k, std::ptrdiff_t count, const double* coefficients, double* t) const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  if (single_) {
    kernels.f32.add(static_cast<const float*>(k), padded_, count, coefficients, t, padded_);
  } else {
    kernels.f64.add(static_cast<const double*>(k), padded_, count, coefficients, t, padded_);
  }
}
double Gibbs::cost(const double* c, const void* k, const double* w) const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  return single_ ? kernels.f32.cost(c, static_cast<const float*>(k), w, cols())
                 : kernels.f64.cost(c, static_cast<const double*>(k), w, cols());
}
void Gibbs::scale(const void* k, const double* w, double coefficient, double* out) const {
  const SinkhornKernels& kernels = sinkhorn_kernels();
  if (single_) {
    kernels.f32.scale(static_cast<const float*>(k), w, coefficient, out, cols());
  } else {
    kernels.f64.scale(static_cast<const double*>(k), w, coefficient, out, cols());
  }
}

}  // namespace kexue::transport
