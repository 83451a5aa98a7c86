// Arithmetic of indices. Sizes are signed; containers of the standard library want unsigned ones.
#pragma once

#include <cstddef>

namespace kexue {

constexpr std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

// Parts of at most `b` that `a` things make.
constexpr std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

}  // namespace kexue
