#include "kexue/transport/auction.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/transport/kernels.hpp"

namespace kexue::transport {

using std::ptrdiff_t;

namespace {

// Mass that a source holds at a sink, at the price -level.
struct Portion {
  std::int32_t source, next;
  float level;
  std::int64_t mass;
};

constexpr std::ptrdiff_t kList = 32;    // sinks that a source remembers
constexpr float kFirstWidth = 0x1p-7f;  // of its list, as a part of the range of costs

class Market {
 public:
  Market(MatrixView<const float> cost, const std::int64_t* a, const std::int64_t* b, float* v)
      : cost_(cost), a_(a), b_(b), v_(v) {
    const auto n = static_cast<std::size_t>(cost.rows), m = static_cast<std::size_t>(cost.cols);
    supply_.resize(n);
    free_.resize(m);
    head_.resize(m);
    waits_.resize(n);
    list_size_.assign(n, 0);
    bound_.assign(n, -1);
    width_.assign(n, kFirstWidth);
    list_col_.resize(n * kList);
    list_cost_.resize(n * kList);
    found_.resize(m);
    for (std::size_t i = 0; i < n; ++i) total_ += a[i];
    portions_.reserve(2 * (n + m));
  }

  void phase(float step, double unplaced, double max_bids);
  std::vector<Shipment> shipments() const;

 private:
  void open();
  TwoMinima<float> best_two(std::int32_t source);
  TwoMinima<float> scan(std::int32_t source);
  void take(std::int32_t source, ptrdiff_t sink, float level);
  std::int32_t best_portion(ptrdiff_t sink) const;
  void add(std::int32_t source, ptrdiff_t sink, float level, std::int64_t mass);
  void drop(std::int32_t portion, ptrdiff_t sink);
  void wait(std::int32_t source) {
    if (waits_[static_cast<std::size_t>(source)]) return;
    waits_[static_cast<std::size_t>(source)] = 1;
    queue_.push_back(source);
  }

  MatrixView<const float> cost_;
  const std::int64_t *a_, *b_;
  float* v_;
  std::int64_t total_ = 0, left_ = 0;
  std::vector<std::int64_t> supply_, free_;
  std::vector<std::int32_t> head_, queue_, unused_;
  std::vector<char> waits_;
  // For each source its sinks of reduced cost below a bound. Prices only rise, so that all others
  // stay above it, and the list alone is enough while two of its sinks are below.
  std::vector<std::int32_t> list_size_, list_col_, found_;
  std::vector<float> list_cost_, bound_, width_;
  std::vector<Portion> portions_;
};

void Market::open() {
  std::copy(a_, a_ + cost_.rows, supply_.begin());
  std::copy(b_, b_ + cost_.cols, free_.begin());
  std::fill(head_.begin(), head_.end(), -1);
  std::fill(waits_.begin(), waits_.end(), char{0});
  portions_.clear();
  unused_.clear();
  queue_.clear();
  for (ptrdiff_t i = 0; i < cost_.rows; ++i) wait(static_cast<std::int32_t>(i));
  left_ = total_;
}

std::int32_t Market::best_portion(ptrdiff_t sink) const {
  std::int32_t best = head_[static_cast<std::size_t>(sink)];
  for (std::int32_t p = best; p >= 0; p = portions_[static_cast<std::size_t>(p)].next) {
    const auto& portion = portions_[static_cast<std::size_t>(p)];
    if (portion.level > portions_[static_cast<std::size_t>(best)].level) best = p;
  }
  return best;
}

void Market::add(std::int32_t source, ptrdiff_t sink, float level, std::int64_t mass) {
  auto& head = head_[static_cast<std::size_t>(sink)];
  const Portion portion{source, head, level, mass};
  if (unused_.empty()) {
    head = static_cast<std::int32_t>(portions_.size());
    portions_.push_back(portion);
  } else {
    head = unused_.back();
    unused_.pop_back();
    portions_[static_cast<std::size_t>(head)] = portion;
  }
}

void Market::drop(std::int32_t portion, ptrdiff_t sink) {
  std::int32_t* link = &head_[static_cast<std::size_t>(sink)];
  while (*link != portion) link = &portions_[static_cast<std::size_t>(*link)].next;
  *link = portions_[static_cast<std::size_t>(portion)].next;
  unused_.push_back(portion);
}

void Market::take(std::int32_t source, ptrdiff_t sink, float level) {
  const auto s = static_cast<std::size_t>(source), t = static_cast<std::size_t>(sink);
  std::int64_t &want = supply_[s], &spare = free_[t];
  std::int64_t taken = std::min(want, spare);
  spare -= taken;
  want -= taken;
  left_ -= taken;
  while (want > 0) {
    const std::int32_t p = best_portion(sink);
    if (p < 0 || portions_[static_cast<std::size_t>(p)].level <= level) break;
    auto& portion = portions_[static_cast<std::size_t>(p)];
    if (portion.source == source) {  // its own, at the old price
      portion.level = level;
      continue;
    }
    const std::int64_t mass = std::min(want, portion.mass);
    want -= mass;
    taken += mass;
    supply_[static_cast<std::size_t>(portion.source)] += mass;
    wait(portion.source);
    portion.mass -= mass;
    if (portion.mass == 0) drop(p, sink);
  }
  if (taken > 0) add(source, sink, level, taken);
  if (spare == 0) {
    const std::int32_t p = best_portion(sink);
    if (p >= 0) v_[sink] = portions_[static_cast<std::size_t>(p)].level;
  }
}

TwoMinima<float> Market::best_two(std::int32_t source) {
  const auto s = static_cast<std::size_t>(source);
  const std::int32_t* col = list_col_.data() + s * kList;
  const float* cost = list_cost_.data() + s * kList;
  auto best = row_kernels().two_minima_at(cost, col, v_, list_size_[s]);
  if (!(best.second < bound_[s])) return scan(source);
  best.index = col[best.index];
  return best;
}

// Looks at all sinks and remembers the best.
TwoMinima<float> Market::scan(std::int32_t source) {
  const auto& kernel = row_kernels().f32;
  const auto s = static_cast<std::size_t>(source);
  const float* c = cost_.row(source);
  const auto best = kernel.two_minima(c, v_, cost_.cols);
  list_size_[s] = 0;
  if (!(best.second < 3e38f)) return best;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const float bound = best.second + width_[s];
    const ptrdiff_t count = kernel.select_below(c, v_, bound, found_.data(), cost_.cols);
    if (count > kList) {
      width_[s] *= std::max(0.125f, 0.5f * kList / static_cast<float>(count));
      continue;
    }
    bound_[s] = bound;
    list_size_[s] = static_cast<std::int32_t>(count);
    for (ptrdiff_t k = 0; k < count; ++k) {
      list_col_[s * kList + static_cast<std::size_t>(k)] = found_[static_cast<std::size_t>(k)];
      list_cost_[s * kList + static_cast<std::size_t>(k)] = c[found_[static_cast<std::size_t>(k)]];
    }
    if (count < kList / 4) width_[s] *= 2;
    break;
  }
  return best;
}

void Market::phase(float step, double unplaced, double max_bids) {
  open();
  const auto enough = static_cast<std::int64_t>(unplaced * static_cast<double>(total_));
  double bids = 0;
  for (std::size_t next = 0; next < queue_.size(); ++next) {
    if (left_ <= enough || bids > max_bids) break;
    if (next % 256 == 0) poll_interrupt();
    const std::int32_t source = queue_[next];
    const auto s = static_cast<std::size_t>(source);
    waits_[s] = 0;
    while (supply_[s] > 0) {
      const auto best = best_two(source);
      ++bids;
      if (!(best.value < 3e38f)) {  // no arc
        left_ -= supply_[s];
        supply_[s] = 0;
        break;
      }
      const float margin = std::min(best.second - best.value, 1.0f);
      take(source, best.index, v_[best.index] - margin - step);
    }
    if (next > 65536 && 2 * next > queue_.size()) {
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(next) + 1);
      next = static_cast<std::size_t>(-1);
    }
  }
}

std::vector<Shipment> Market::shipments() const {
  std::vector<Shipment> all;
  for (std::size_t j = 0; j < head_.size(); ++j) {
    for (std::int32_t p = head_[j]; p >= 0; p = portions_[static_cast<std::size_t>(p)].next) {
      const auto& portion = portions_[static_cast<std::size_t>(p)];
      all.push_back({portion.source, static_cast<std::int32_t>(j), portion.mass});
    }
  }
  return all;
}

}  // namespace

std::vector<Shipment> auction(MatrixView<const float> cost, const std::int64_t* a,
                              const std::int64_t* b, const AuctionOptions& options, float* v) {
  Market market(cost, a, b, v);
  const double max_bids = options.bids_per_row * static_cast<double>(cost.rows);
  for (float step = options.first_step;;) {
    const bool last = step <= options.last_step;
    market.phase(step, last ? options.unplaced : options.unplaced_before, max_bids);
    if (last) return market.shipments();
    step = std::max(step / options.factor, options.last_step);
  }
}

}  // namespace kexue::transport
