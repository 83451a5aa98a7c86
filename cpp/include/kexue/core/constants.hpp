// Values that all areas name alike.
#pragma once

#include <limits>

namespace kexue {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace kexue
