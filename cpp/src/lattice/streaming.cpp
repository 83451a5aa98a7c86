#include "streaming.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kexue/core/constants.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;

namespace {

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most + std::log1p(std::exp(std::min(a, b) - most));
}

}  // namespace

bool draw_streaming(const Unigram& model, const Line& line, double alpha, bool exact,
                    Uniforms& uniforms, Emitter& emit) {
  const ptrdiff_t size = line.size();
  // The weight of all that leads to a place, as a logarithm, or the score of the survivor; and the
  // survivor's last edge.
  std::vector<double> value(static_cast<size_t>(size) + 1, -kInf);
  std::vector<Edge> last(static_cast<size_t>(size) + 1, Edge{-1, 0});
  value[0] = 0;
  for (ptrdiff_t i = 0; i < size; ++i) {
    if ((i & 0xFFF) == 0xFFF) poll_interrupt();
    const double here = value[static_cast<size_t>(i)];
    if (here == -kInf) continue;
    model.edges(line.text(), size, i, [&](Edge edge) {
      const size_t end = static_cast<size_t>(i) + edge.length;
      const double score = model.edge_score(edge.piece);
      const double contender = here + (exact ? alpha * score : score), before = value[end];
      const bool first = before == -kInf;
      double chance = 1;
      if (exact) {
        value[end] = first ? contender : log_add(before, contender);
        chance = std::exp(contender - value[end]);
      } else if (!first) {
        chance = 1 / (1 + std::exp(-alpha * (contender - before)));
      }
      if (!first && uniforms.next() >= chance) return;
      last[end] = edge;
      if (!exact) value[end] = contender;
    });
  }
  if (value[static_cast<size_t>(size)] == -kInf) return false;
  std::vector<ptrdiff_t> starts;
  for (ptrdiff_t end = size; end > 0; end -= last[static_cast<size_t>(end)].length) {
    starts.push_back(end);
  }
  int32_t* to = emit.room(size);
  for (size_t k = starts.size(); k-- > 0;) {
    const Edge edge = last[static_cast<size_t>(starts[k])];
    to = emit.put(edge, line.text() + starts[k] - edge.length, to);
  }
  emit.close(to);
  return true;
}

}  // namespace kexue::lattice
