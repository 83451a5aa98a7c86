// The two methods that sample in one pass from the left to the right; see tokenizer.hpp.
#pragma once

#include "emit.hpp"
#include "kexue/lattice/line.hpp"
#include "kexue/lattice/unigram.hpp"
#include "uniforms.hpp"

namespace kexue::lattice {

// One row of the open line of one text; false if it has no path. `exact`: against the weight of all
// that leads to a place, in the log domain, else against the score of the survivor alone.
bool draw_streaming(const Unigram& model, const Line& line, double alpha, bool exact,
                    Uniforms& uniforms, Emitter& emit);

}  // namespace kexue::lattice
