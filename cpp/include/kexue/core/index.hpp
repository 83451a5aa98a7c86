// Sizes are signed; containers of the standard library want an unsigned index.
#pragma once

#include <cstddef>

namespace kexue {

constexpr std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

}  // namespace kexue
