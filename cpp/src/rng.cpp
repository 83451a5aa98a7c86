#include "kexue/core/rng.hpp"

#include <algorithm>

#include "kexue/core/pool.hpp"

namespace kexue {
namespace {

// A multiple of every group, and at least 20 microseconds of normals; signs are cheaper.
constexpr std::ptrdiff_t kChunk = 8192;
constexpr std::ptrdiff_t kSignChunk = 131072;

template <class T>
void fill(void (*kernel)(Key, std::uint64_t, std::ptrdiff_t, T*), Key key, std::uint64_t first,
          std::span<T> out, std::ptrdiff_t chunk_size, int workers) {
  const auto size = static_cast<std::ptrdiff_t>(out.size());
  // Chunks begin at multiples of the chunk size in the index, so that no group is made twice.
  const auto skew = static_cast<std::ptrdiff_t>(first % static_cast<std::uint64_t>(chunk_size));
  const std::ptrdiff_t n_chunks = size == 0 ? 0 : (skew + size - 1) / chunk_size + 1;
  parallel_for(
      n_chunks,
      [&](std::ptrdiff_t chunk, int) {
        const std::ptrdiff_t begin = std::max<std::ptrdiff_t>(0, chunk * chunk_size - skew);
        const std::ptrdiff_t end = std::min(size, (chunk + 1) * chunk_size - skew);
        kernel(key, first + static_cast<std::uint64_t>(begin), end - begin, out.data() + begin);
      },
      workers);
}

}  // namespace

void fill_uniform(Key key, std::uint64_t first_index, std::span<double> out, int workers) {
  fill(random_kernels().uniform_f64, key, first_index, out, kChunk, workers);
}
void fill_uniform(Key key, std::uint64_t first_index, std::span<float> out, int workers) {
  fill(random_kernels().uniform_f32, key, first_index, out, kChunk, workers);
}
void fill_normal(Key key, std::uint64_t first_index, std::span<double> out, int workers) {
  fill(random_kernels().normal_f64, key, first_index, out, kChunk, workers);
}
void fill_normal(Key key, std::uint64_t first_index, std::span<float> out, int workers) {
  fill(random_kernels().normal_f32, key, first_index, out, kChunk, workers);
}
void fill_signs(Key key, std::uint64_t first_index, std::span<double> out, int workers) {
  fill(random_kernels().sign_f64, key, first_index, out, kSignChunk, workers);
}
void fill_signs(Key key, std::uint64_t first_index, std::span<float> out, int workers) {
  fill(random_kernels().sign_f32, key, first_index, out, kSignChunk, workers);
}

}  // namespace kexue
