// What needs the whole lattice of a text.
#include <algorithm>
#include <vector>

#include "caches.hpp"
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
using std::uint8_t;

namespace {

// The edges from the places that a path from the start reaches; whether one reaches the end.
bool find_edges(const Unigram& model, const uint8_t* text, ptrdiff_t size, TextEdges& out) {
  std::vector<bool> reached(static_cast<size_t>(size) + 1, false);
  reached[0] = true;
  for (ptrdiff_t i = 0; i < size; ++i) {
    if ((i & 0xFFFF) == 0) poll_interrupt();
    if (!reached[static_cast<size_t>(i)]) continue;
    model.edges(text, size, i, [&](Edge edge) {
      reached[static_cast<size_t>(i) + edge.length] = true;
      out.begin.push_back(i);
      out.end.push_back(i + edge.length);
      out.piece.push_back(edge.piece);
      out.score.push_back(model.edge_score(edge.piece));
    });
  }
  out.bytes.assign(text, text + size);
  return reached[static_cast<size_t>(size)];
}

}  // namespace

TextEdges Tokenizer::edges(const TextView& text) const {
  TextEdges out;
  Line line;
  if (!line.open(*model_, normalizer_.get(), text, false, out.fault)) return out;
  if (!find_edges(*model_, line.text(), line.size(), out)) {
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
  Index begin = 0, n_segments = 0;
  for (const Index end : line.ends()) {
    if ((++n_segments & 0xFFF) == 0) poll_interrupt();
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

bool best_of_segment(const Unigram& model, const uint8_t* text, ptrdiff_t size, ptrdiff_t rows,
                     WordLists& lists) {
  TextEdges found;
  if (!find_edges(model, text, size, found)) return false;
  const Dag dag = dag_of(found);
  BestPaths paths(dag);
  BestPath path;
  for (ptrdiff_t r = 0; r < rows && paths.next(path); ++r) {
    Tokens row;
    append(model, found, path.edges, row);
    lists.add(path.score, row.ids.data(), row.ids.data() + row.ids.size());
  }
  return true;
}

WeightedRows Tokenizer::sample_without_replacement(const TextView& text, ptrdiff_t size,
                                                   double alpha, Key key) const {
  WeightedRows out;
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
  out.log_prob = drawn.log_prob;
  out.log_inclusion = drawn.log_inclusion;
  return out;
}

}  // namespace kexue::lattice
