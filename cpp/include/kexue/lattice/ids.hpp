// A growing array of ids that is written through a pointer and becomes a NumPy array as it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kexue/core/buffer.hpp"

namespace kexue::lattice {

class Ids {
 public:
  std::ptrdiff_t size() const { return size_; }
  const std::int32_t* data() const { return memory_.data(); }
  std::int32_t* data() { return memory_.data(); }

  // Where the next ids go: room for n of them, and 16 more that may be spoilt.
  std::int32_t* room(std::ptrdiff_t n) {
    if (memory_.size() - size_ < n + 16) grow(n + 16);
    return memory_.data() + size_;
  }
  // About n ids will come to be here.
  void expect(std::ptrdiff_t n) {
    n += n / 16 + 1024;
    if (n > memory_.size()) reallocate(n);
  }
  // The ids now end here.
  void close(const std::int32_t* end) { size_ = end - memory_.data(); }

  void append(const std::int32_t* ids, std::ptrdiff_t n) {
    if (n > 0) std::memcpy(room(n), ids, static_cast<std::size_t>(n) * sizeof *ids);
    size_ += n;
  }
  void clear() { size_ = 0; }
  AlignedBuffer<std::int32_t> release() {
    size_ = 0;
    return std::move(memory_);
  }

 private:
  void grow(std::ptrdiff_t n) {
    reallocate(std::max(size_ + n, memory_.size() + memory_.size() / 2));
  }
  void reallocate(std::ptrdiff_t n) {
    AlignedBuffer<std::int32_t> larger(n);
    if (size_ > 0) {
      std::memcpy(larger.data(), memory_.data(), static_cast<std::size_t>(size_) * sizeof(int));
    }
    memory_ = std::move(larger);
  }

  AlignedBuffer<std::int32_t> memory_;
  std::ptrdiff_t size_ = 0;
};

}  // namespace kexue::lattice
