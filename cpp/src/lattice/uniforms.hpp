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
    if (used_ == kGroup) {
      random_kernels().uniform_f64(key_, index_, kGroup, value_);
      index_ += kGroup;
      used_ = 0;
    }
    return value_[used_++];
  }

 private:
  static constexpr int kGroup = 32;
  Key key_;
  std::uint64_t index_ = 0;
  int used_ = kGroup;
  double value_[kGroup];
};

}  // namespace kexue::lattice
