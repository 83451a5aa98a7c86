// k rounds of p += softmax((1 - p) (x - min x) / temperature) (kexue/simplex/select.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kexue/simplex/row_loop.hpp"
#include "kexue/simplex/select.hpp"

namespace kexue::simplex {
namespace {

using Doubles = std::vector<double>;

// Rows of the iteration: y_i = x_i - min x >= 0 as 2 half_i, which cannot overflow.
struct Rounds {
  Doubles half, z, s;
  double temperature;

  Rounds(const Doubles& x, double t) : half(x.size()), z(x.size()), s(x.size()), temperature(t) {
    const double least = *std::min_element(x.begin(), x.end()) / 2;
    std::transform(x.begin(), x.end(), half.begin(), [=](double v) { return v / 2 - least; });
  }
  // s = softmax((1 - p) y / temperature)
  void weigh(const Doubles& p) {
    Poll poll;
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      poll();
      z[i] = (1 - p[i]) * half[i];
      max = std::max(max, z[i]);
    }
    for (std::size_t i = 0; i < z.size(); ++i) {
      poll();
      sum += s[i] = std::exp((z[i] - max) / temperature * 2);
    }
    for (double& v : s) v /= sum;
  }
  void advance(Doubles& p, std::size_t n_rounds) {
    for (std::size_t round = 0; round < n_rounds; ++round) {
      weigh(p);
      for (std::size_t i = 0; i < p.size(); ++i) p[i] += s[i];
    }
  }
};

}  // namespace

void iterative_topk(const std::vector<double>& x, std::size_t k, double temperature,
                    std::vector<double>& p) {
  std::fill(p.begin(), p.end(), 0.0);
  Rounds(x, temperature).advance(p, k);
}

// The way back needs every p once, last first: p is kept at every block-th round, and the rounds of
// a block are made again.
void iterative_topk_vjp(const Doubles& x, std::size_t k, double temperature, Doubles& g,
                        Doubles& dx) {
  const auto least = std::min_element(x.begin(), x.end()) - x.begin();
  Rounds rounds(x, temperature);
  const auto block = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(k))));
  std::vector<Doubles> starts, within;
  Doubles p(x.size(), 0.0);
  for (std::size_t first = 0; first < k; first += block) {
    starts.push_back(p);
    if (first + block < k) rounds.advance(p, block);
  }
  std::fill(dx.begin(), dx.end(), 0.0);
  while (!starts.empty()) {
    const std::size_t first = (starts.size() - 1) * block, count = std::min(block, k - first);
    within.clear();
    within.push_back(std::move(starts.back()));
    starts.pop_back();
    for (std::size_t round = 1; round < count; ++round) {
      within.push_back(within.back());
      rounds.advance(within.back(), 1);
    }
    for (std::size_t round = count; round-- > 0;) {
      rounds.weigh(within[round]);
      const Doubles& s = rounds.s;
      double mean = 0;
      for (std::size_t i = 0; i < s.size(); ++i) mean += s[i] * g[i];
      for (std::size_t i = 0; i < s.size(); ++i) {
        const double h = s[i] * (g[i] - mean);
        dx[i] += (1 - within[round][i]) * (h / temperature);
        if (h != 0) g[i] -= rounds.half[i] * (h / temperature) * 2;
      }
    }
  }
  double total = 0;
  for (const double v : dx) total += v;
  dx[static_cast<std::size_t>(least)] -= total;
}

}  // namespace kexue::simplex
