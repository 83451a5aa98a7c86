// Errors the core throws. Python wrappers find user errors first; what reaches C++ is a broken
// contract (std::invalid_argument), memory (std::bad_alloc) or an unsolvable input.
#pragma once

#include <stdexcept>
#include <string>

namespace kexue {

// A valid input that cannot be solved; becomes kexue_num.NumericalError.
class numerical_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace kexue
