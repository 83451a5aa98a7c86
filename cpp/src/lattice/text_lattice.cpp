// What needs the whole lattice of a text.
#include <algorithm>
#include <vector>

#include "emit.hpp"
#include "kexue/core/pool.hpp"
#include "kexue/lattice/best.hpp"
#include "kexue/lattice/dag.hpp"
#include "kexue/lattice/sample.hpp"
#include "kexue/lattice/sweep.hpp"
#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

using std::int32_t;
using std::ptrdiff_t;
using std::size_t;

TextEdges Tokenizer::edges(const TextView& text) const {
  TextEdges out;
  Line line;
  if (!line.open(*model_, normalizer_.get(), text, false, out.fault)) return out;
  const ptrdiff_t size = line.size();
  out.bytes.assign(line.text(), line.text() + size);
  // Only places that a path from the start reaches.
  std::vector<bool> reached(static_cast<size_t>(size) + 1, false);
  reached[0] = true;
  for (ptrdiff_t i = 0; i < size; ++i) {
    if ((i & 0xFFFF) == 0) poll_interrupt();
    if (!reached[static_cast<size_t>(i)]) continue;
    model_->edges(line.text(), size, i, [&](Edge edge) {
      reached[static_cast<size_t>(i) + edge.length] = true;
      out.begin.push_back(i);
      out.end.push_back(i + edge.length);
      out.piece.push_back(edge.piece);
      out.score.push_back(model_->edge_score(edge.piece));
    });
  }
  if (!reached[static_cast<size_t>(size)]) {
    out.fault = line.uncovered(*model_, normalizer_.get(), text);
  }
  return out;
}

double Tokenizer::log_partition(const TextView& text, double alpha, Fault& fault) const {
  Line line;
  if (!line.open(*model_, normalizer_.get(), text, false, fault)) return 0;
  const Weights weights = model_->weights(alpha);
  Sums sums;
  double total = 0;
  Index begin = 0;
  for (const Index end : line.ends()) {
    if ((end & 0xFFF) == 0) poll_interrupt();
    if (!model_->sum(line.text() + begin, end - begin, line.valid(), weights, sums)) {
      fault = line.uncovered(*model_, normalizer_.get(), text);
      return 0;
    }
    total += Unigram::log_partition(sums, weights, end - begin);
    begin = end;
  }
  return total;
}

namespace {

Dag dag_of(const TextEdges& edges) {
  std::vector<Index> first(edges.bytes.size() + 2, 0);
  for (const Index begin : edges.begin) ++first[static_cast<size_t>(begin) + 1];
  for (size_t v = 1; v < first.size(); ++v) first[v] += first[v - 1];
  return build_dag(first, edges.end, edges.score);
}

void append(const Unigram& model, const TextEdges& edges, std::span<const Index> path,
            Tokens& out) {
  Emitter emit(model, out.ids);
  int32_t* to = emit.room(std::ssize(edges.bytes));
  for (const Index e : path) {
    const auto i = static_cast<size_t>(e);
    const Index begin = edges.begin[i];
    to = emit.put({edges.piece[i], static_cast<std::uint32_t>(edges.end[i] - begin)},
                  edges.bytes.data() + begin, to);
  }
  emit.close(to);
  out.offsets.push_back(out.ids.size());
}

}  // namespace

ScoredRows Tokenizer::best(const TextView& text, ptrdiff_t k) const {
  ScoredRows out;
  const TextEdges found = edges(text);
  out.tokens.fault = found.fault;
  if (found.fault.kind != TextFault::kNone) return out;
  const Dag dag = dag_of(found);
  BestPaths paths(dag);
  BestPath path;
  while (std::ssize(out.score) < k && paths.next(path)) {
    append(*model_, found, path.edges, out.tokens);
    out.score.push_back(path.score);
  }
  return out;
}

ScoredRows Tokenizer::sample_without_replacement(const TextView& text, ptrdiff_t size, double alpha,
                                                 Key key) const {
  ScoredRows out;
  const TextEdges found = edges(text);
  out.tokens.fault = found.fault;
  if (found.fault.kind != TextFault::kNone) return out;
  const Dag dag = dag_of(found);
  const WeightedPaths drawn =
      lattice::sample_without_replacement(dag, sweep_backward(dag, alpha), size, key);
  for (size_t i = 0; i + 1 < drawn.paths.offsets.size(); ++i) {
    const auto begin = static_cast<size_t>(drawn.paths.offsets[i]);
    const auto end = static_cast<size_t>(drawn.paths.offsets[i + 1]);
    append(*model_, found, std::span(drawn.paths.edges).subspan(begin, end - begin), out.tokens);
  }
  out.score = drawn.log_prob;
  out.log_inclusion = drawn.log_inclusion;
  return out;
}

}  // namespace kexue::lattice
