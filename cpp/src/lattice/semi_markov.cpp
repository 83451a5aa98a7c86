#include <algorithm>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/trellis.hpp"

namespace kexue::lattice {

using std::ptrdiff_t;

ptrdiff_t viterbi_semi_markov(ptrdiff_t steps, ptrdiff_t longest, ptrdiff_t states,
                              const double* scores, const double* transitions, Index* starts,
                              Index* labels, double* score) {
  // ends[t]: the best score of segments that cover steps before t, by the state of the last one;
  // begins[t]: the same plus the transition into a segment of each state that begins at t.
  const auto size = static_cast<std::size_t>((steps + 1) * states);
  std::vector<double> ends(size, -kInf), begins(size, -kInf);
  std::vector<Index> length(size, 0), before(size, -1);
  std::fill(begins.begin(), begins.begin() + states, 0.0);
  for (ptrdiff_t t = 1; t <= steps; ++t) {
    if ((t & 63) == 0) poll_interrupt();
    double* end = ends.data() + t * states;
    for (ptrdiff_t d = 1; d <= std::min(t, longest); ++d) {
      const double* segment = scores + ((t - 1) * longest + d - 1) * states;
      for (ptrdiff_t s = 0; s < states; ++s) {
        const double sum = begins[(t - d) * states + s] + segment[s];
        if (sum > end[s]) {
          end[s] = sum;
          length[t * states + s] = d;
        }
      }
    }
    for (ptrdiff_t i = 0; i < states; ++i) {
      for (ptrdiff_t j = 0; j < states; ++j) {
        const double sum = end[i] + transitions[i * states + j];
        if (sum > begins[t * states + j]) {
          begins[t * states + j] = sum;
          before[t * states + j] = i;
        }
      }
    }
  }
  if (steps == 0) {
    *score = 0;
    return 0;
  }
  const double* last = ends.data() + steps * states;
  Index state = std::max_element(last, last + states) - last;
  *score = last[state];
  if (*score == -kInf) return -1;
  ptrdiff_t n = 0;
  for (Index t = steps; t > 0;) {
    const Index begin = t - length[t * states + state];
    starts[n] = begin;
    labels[n++] = state;
    if (begin > 0) state = before[begin * states + state];
    t = begin;
  }
  std::reverse(starts, starts + n);
  std::reverse(labels, labels + n);
  return n;
}

}  // namespace kexue::lattice
