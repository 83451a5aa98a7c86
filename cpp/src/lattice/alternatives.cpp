#include "kexue/lattice/alternatives.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <vector>

#include "kexue/core/error.hpp"
#include "kexue/core/pool.hpp"

namespace kexue::lattice {
namespace {

constexpr std::ptrdiff_t kChunk = 2048;  // pieces

}  // namespace

void log_alternatives(const Unigram& model, std::span<double> out, int workers) {
  const std::ptrdiff_t n = model.n_pieces();
  require(std::ssize(out) == n, "one value per piece");
  const Weights weights = model.weights(1.0);
  const double untilt = -weights.tilt * std::numbers::ln2;
  parallel_for(
      (n + kChunk - 1) / kChunk,
      [&](std::ptrdiff_t chunk, int) {
        std::vector<std::uint8_t> text;
        std::vector<double> reach;
        for (std::ptrdiff_t p = chunk * kChunk; p < std::min(n, (chunk + 1) * kChunk); ++p) {
          const std::string_view piece = model.text(static_cast<std::int32_t>(p));
          const auto size = std::ssize(piece);
          text.assign(piece.begin(), piece.end());
          text.resize(piece.size() + 8, 0);
          reach.assign(piece.size() + 1, 0.0);
          reach[0] = 1;
          for (std::ptrdiff_t i = 0; i < size; ++i) {
            const double here = reach[static_cast<std::size_t>(i)];
            if (here == 0) continue;
            model.edges(text.data(), size, i, [&](Edge edge) {
              const bool whole = static_cast<std::ptrdiff_t>(edge.length) == size;
              if (edge.piece < 0 || whole) return;
              const auto entry = static_cast<std::size_t>(edge.piece) + 1;
              reach[static_cast<std::size_t>(i) + edge.length] += here * weights.weight[entry];
            });
          }
          out[static_cast<std::size_t>(p)] =
              std::log(reach.back()) + untilt * static_cast<double>(size);
        }
      },
      workers);
}

}  // namespace kexue::lattice
