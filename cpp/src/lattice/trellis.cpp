#include "kexue/lattice/trellis.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kexue/core/buffer.hpp"
#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/trellis_kernels.hpp"
#include "messages.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

namespace {

class Collector {
 public:
  Collector(const Trellis<double>& trellis, const Factors& factors, const TrellisSums& out)
      : trellis_(trellis), factors_(factors), out_(out) {
    entries_ =
        trellis.dense != nullptr ? trellis.states * trellis.states : trellis.indptr[trellis.states];
  }

  void collect(ptrdiff_t sequence) const {
    Messages messages(trellis_, factors_, sequence);
    messages.forward();
    const bool both =
        out_.backward != nullptr || out_.marginals != nullptr || out_.transitions != nullptr;
    if (both) messages.backward();
    if (out_.log_partition != nullptr) out_.log_partition[sequence] = messages.log_partition();
    if (out_.forward != nullptr) {
      logarithms(messages, out_.forward + sequence * rows(), &Messages::alpha,
                 &Messages::alpha_scale);
    }
    if (out_.backward != nullptr) {
      logarithms(messages, out_.backward + sequence * rows(), &Messages::beta,
                 &Messages::beta_scale);
    }
    if (out_.marginals != nullptr) marginals(messages, out_.marginals + sequence * rows());
    if (out_.transitions != nullptr) {
      transitions(messages, out_.transitions + sequence * trellis_.n_matrices * entries_);
    }
  }

 private:
  ptrdiff_t rows() const { return trellis_.steps * trellis_.states; }

  void logarithms(const Messages& messages, double* out,
                  double* (Messages::*message)(ptrdiff_t) const,
                  double (Messages::*scale)(ptrdiff_t) const) const {
    const ptrdiff_t n = trellis_.states;
    std::fill(out, out + rows(), kNaN);
    for (ptrdiff_t t = 0; t < messages.length(); ++t) {
      const double* values = (messages.*message)(t);
      for (ptrdiff_t s = 0; s < n; ++s) {
        const double x = messages.logarithmic() ? values[s] : std::log(values[s]);
        out[t * n + s] = x + (messages.*scale)(t);
      }
    }
  }

  void marginals(const Messages& messages, double* out) const {
    const ptrdiff_t n = trellis_.states;
    std::fill(out, out + rows(), 0.0);
    for (ptrdiff_t t = 0; t < messages.length(); ++t) messages.posterior(t, out + t * n);
  }

  void transitions(const Messages& messages, double* out) const {
    const ptrdiff_t n = trellis_.states;
    std::fill(out, out + trellis_.n_matrices * entries_, messages.possible() ? 0.0 : kNaN);
    if (!messages.possible()) return;
    std::vector<double> next(static_cast<std::size_t>(n)), rest(static_cast<std::size_t>(n));
    std::vector<double> padded(static_cast<std::size_t>(factors_.ld()));
    for (ptrdiff_t t = 0; t + 1 < messages.length(); ++t) {
      if ((t & 63) == 0) poll_interrupt();
      double* uses = out + factors_.matrix(t) * entries_;
      const double* before = messages.alpha(t);
      messages.arrivals(t + 1, next.data());
      if (messages.logarithmic()) {
        for (ptrdiff_t i = 0; i < n; ++i) {
          factors_.targets(t, i, [&](Index j, double a, Index entry) {
            uses[entry] += std::exp(before[i] + a + next[j] - messages.log_partition());
          });
        }
        continue;
      }
      factors_.pull(t, next.data(), padded.data());
      double sum = 0;
      for (ptrdiff_t i = 0; i < n; ++i) sum += before[i] * padded[i];
      for (ptrdiff_t i = 0; i < n; ++i) {
        const double scale = before[i] / sum;
        if (scale == 0) continue;
        factors_.targets(t, i,
                         [&](Index j, double, Index entry) { uses[entry] += scale * next[j]; });
      }
    }
    if (!messages.logarithmic()) weigh(out);
  }

  // Products of messages become probabilities by the matrix's own factors.
  void weigh(double* out) const {
    for (ptrdiff_t m = 0; m < trellis_.n_matrices; ++m) {
      for (ptrdiff_t i = 0; i < trellis_.states; ++i) {
        factors_.targets(m, i, [&](Index, double a, Index entry) {
          double& use = out[m * entries_ + entry];
          if (use != 0) use *= factors_.factor(m, a);
        });
      }
    }
  }

  const Trellis<double>& trellis_;
  const Factors& factors_;
  const TrellisSums& out_;
  ptrdiff_t entries_;
};

class Sampler {
 public:
  Sampler(const Trellis<double>& trellis, const Factors& factors, const Messages& messages)
      : trellis_(trellis),
        factors_(factors),
        messages_(messages),
        weight_(factors.ld()),
        uniform_(messages.length()) {}

  void draw(Key key, Index* path) {
    const ptrdiff_t length = messages_.length();
    if (length == 0) return;
    random_kernels().uniform_f64(key, 0, length, uniform_.data());
    last();
    path[length - 1] = draw_by_weight(length - 1);
    if (!messages_.logarithmic() && factors_.dense()) return draw_dense(length - 1, path);
    for (ptrdiff_t t = length - 1; t-- > 0;) {
      before(t, path[t + 1]);
      path[t] = draw_by_weight(t);
    }
  }

 private:
  ptrdiff_t draw_by_weight(ptrdiff_t t) {
    return trellis_sum_kernels().draw(weight_.size(), weight_.data(), uniform_[t]);
  }

  void draw_dense(ptrdiff_t t, Index* path) {
    while (t > 0) {
      poll_interrupt();
      const ptrdiff_t steps = std::min<ptrdiff_t>(t, 1 + 65536 / factors_.ld());
      t -= steps;
      trellis_sum_kernels().draw_steps(steps, trellis_.states, factors_.ld(),
                                       factors_.matrix_columns(t), factors_.stride(),
                                       messages_.alpha(t), &uniform_[t], weight_.data(), path + t);
    }
  }

  void last() {
    const double* message = messages_.alpha(messages_.length() - 1);
    const bool logs = messages_.logarithmic();
    clear(logs);
    for (ptrdiff_t s = 0; s < trellis_.states; ++s) {
      weight_[s] = logs ? message[s] + trellis_.stop[s] : message[s] * messages_.stop()[s];
    }
    if (logs) exponentiate();
  }

  void before(ptrdiff_t t, Index state) {
    const double* message = messages_.alpha(t);
    const bool logs = messages_.logarithmic();
    clear(logs);
    factors_.sources(t, state, [&](Index i, double a, Index) {
      weight_[i] = logs ? message[i] + a : message[i] * factors_.factor(t, a);
    });
    if (logs) exponentiate();
  }

  void clear(bool logs) {
    std::fill(weight_.data(), weight_.data() + weight_.size(), logs ? -kInf : 0.0);
  }
  void exponentiate() {
    const double most = *std::max_element(weight_.data(), weight_.data() + weight_.size());
    for (ptrdiff_t s = 0; s < weight_.size(); ++s) weight_[s] = std::exp(weight_[s] - most);
  }

  const Trellis<double>& trellis_;
  const Factors& factors_;
  const Messages& messages_;
  AlignedBuffer<double> weight_;  // ld entries
  AlignedBuffer<double> uniform_;
};

}  // namespace

void sums(const Trellis<double>& trellis, const TrellisSums& out) {
  const Factors factors(trellis);
  const Collector collector(trellis, factors, out);
  parallel_for(
      trellis.batch, [&](ptrdiff_t sequence, int) { collector.collect(sequence); },
      trellis.workers);
}

void sample(const Trellis<double>& trellis, ptrdiff_t size, Key key, Index* states) {
  const Factors factors(trellis);
  const ptrdiff_t between = 65536 / std::clamp<ptrdiff_t>(trellis.steps, 1, 65536);
  std::fill(states, states + trellis.batch * size * trellis.steps, Index{-1});
  parallel_for(
      trellis.batch,
      [&](ptrdiff_t sequence, int) {
        Messages messages(trellis, factors, sequence);
        messages.forward();
        if (!messages.possible()) return;
        Sampler sampler(trellis, factors, messages);
        const Key own = subkey(key, static_cast<std::uint64_t>(sequence));
        for (ptrdiff_t j = 0; j < size; ++j) {
          if (j % between == 0) poll_interrupt();
          sampler.draw(subkey(own, static_cast<std::uint64_t>(j)),
                       states + (sequence * size + j) * trellis.steps);
        }
      },
      trellis.workers);
}

}  // namespace kexue::lattice
