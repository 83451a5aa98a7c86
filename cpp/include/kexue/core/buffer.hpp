// Uninitialised memory aligned to a cache line (64 bytes), freed with its owner.
#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

#include "kexue/core/views.hpp"

namespace kexue {

template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::ptrdiff_t size) : size_(size) {
    if (size < 0 ||
        static_cast<std::size_t>(size) >
            static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T)) {
      throw std::bad_alloc();
    }
    if (size > 0) {
      data_ = static_cast<T*>(
          ::operator new(static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{kAlignment}));
    }
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }

  T* data() const { return data_; }
  std::ptrdiff_t size() const { return size_; }
  T& operator[](std::ptrdiff_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::ptrdiff_t size_ = 0;
};

}  // namespace kexue
