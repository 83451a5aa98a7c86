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
  double mass;
};

class Market {
 public:
  Market(MatrixView<const float> cost, const double* a, const double* b, float* v)
      : cost_(cost), a_(a), b_(b), v_(v) {
    const auto n = static_cast<std::size_t>(cost.rows), m = static_cast<std::size_t>(cost.cols);
    supply_.resize(n);
    free_.resize(m);
    head_.resize(m);
    waits_.resize(n);
    for (std::size_t i = 0; i < n; ++i) total_ += a[i];
    tiny_ = total_ * 0x1p-50;
    portions_.reserve(2 * (n + m));
  }

  ptrdiff_t phase(float step, double unplaced, double max_bids);

 private:
  void open();
  void take(std::int32_t source, ptrdiff_t sink, float level);
  std::int32_t best_portion(ptrdiff_t sink) const;
  void add(std::int32_t source, ptrdiff_t sink, float level, double mass);
  void drop(std::int32_t portion, ptrdiff_t sink);
  void wait(std::int32_t source) {
    if (waits_[static_cast<std::size_t>(source)]) return;
    waits_[static_cast<std::size_t>(source)] = 1;
    queue_.push_back(source);
  }

  MatrixView<const float> cost_;
  const double *a_, *b_;
  float* v_;
  double total_ = 0, tiny_ = 0, left_ = 0;
  std::vector<double> supply_, free_;
  std::vector<std::int32_t> head_, queue_, unused_;
  std::vector<char> waits_;
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

void Market::add(std::int32_t source, ptrdiff_t sink, float level, double mass) {
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
  double& want = supply_[s];
  double taken = 0;
  if (free_[t] > 0) {
    taken = std::min(want, free_[t]);
    free_[t] -= taken;
    if (free_[t] <= tiny_) free_[t] = 0;
    want -= taken;
    left_ -= taken;
  }
  while (want > tiny_ && free_[t] == 0) {
    const std::int32_t p = best_portion(sink);
    if (p < 0 || portions_[static_cast<std::size_t>(p)].level <= level) break;
    auto& portion = portions_[static_cast<std::size_t>(p)];
    if (portion.source == source) {  // its own, at the old price
      portion.level = level;
      continue;
    }
    const double mass = std::min(want, portion.mass);
    want -= mass;
    taken += mass;
    supply_[static_cast<std::size_t>(portion.source)] += mass;
    wait(portion.source);
    portion.mass -= mass;
    if (portion.mass <= tiny_) drop(p, sink);
  }
  if (want <= tiny_) want = 0;
  if (taken > 0) add(source, sink, level, taken);
  if (free_[t] == 0) {
    const std::int32_t p = best_portion(sink);
    if (p >= 0) v_[sink] = portions_[static_cast<std::size_t>(p)].level;
  }
}

ptrdiff_t Market::phase(float step, double unplaced, double max_bids) {
  const auto& kernel = row_kernels().f32;
  open();
  ptrdiff_t bids = 0;
  for (std::size_t next = 0; next < queue_.size(); ++next) {
    if (left_ <= unplaced * total_ || static_cast<double>(bids) > max_bids) break;
    if (next % 256 == 0) poll_interrupt();
    const std::int32_t source = queue_[next];
    const auto s = static_cast<std::size_t>(source);
    waits_[s] = 0;
    while (supply_[s] > 0) {
      const auto best = kernel.two_minima(cost_.row(source), v_, cost_.cols);
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
  return bids;
}

}  // namespace

ptrdiff_t auction(MatrixView<const float> cost, const double* a, const double* b,
                  const AuctionOptions& options, float* v) {
  Market market(cost, a, b, v);
  const double max_bids = options.bids_per_row * static_cast<double>(cost.rows);
  ptrdiff_t bids = 0;
  for (float step = options.first_step;;) {
    bids += market.phase(step, options.unplaced, max_bids);
    if (step <= options.last_step) return bids;
    step = std::max(step / options.factor, options.last_step);
  }
}

}  // namespace kexue::transport
