// Uniform numbers of one sample in their order, a group of the generator at a time.
#pragma once

#include <cstdint>

#include "kexue/core/rng.hpp"

namespace kexue::lattice {

class Uniforms {
 public:
  explicit Uniforms(Key key) : key_(key) {}
  void restart(Key key) {
    key_ = key;
    index_ = 0;
    used_ = kGroup;
  }
  double next() {
    if (used_ == kGroup) make_more();
    return value_[used_++];
  }
  // The same as m = u 2^53.
  std::uint64_t next_integer() {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(next() * 0x1p53));
  }
  // Of samples that will be drawn together: their waits overlap.
  void prepare() {
    if (used_ == kGroup) make_more();
  }

 private:
  void make_more() {
    random_kernels().uniform_f64(key_, index_, kGroup, value_);
    index_ += kGroup;
    used_ = 0;
  }

  static constexpr int kGroup = 32;
  Key key_;
  std::uint64_t index_ = 0;
  int used_ = kGroup;
  double value_[kGroup];
};

}  // namespace kexue::lattice
