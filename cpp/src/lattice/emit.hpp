// Edges to ids.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kexue/lattice/tokenizer.hpp"

namespace kexue::lattice {

// The ids of one text's edges.
class Emitter {
 public:
  Emitter(const Unigram& model, Ids& ids) : model_(model), ids_(ids), begin_(ids.size()) {}

  // Ids from here on belong to another text.
  void restart(const std::int32_t* here) { begin_ = count(here); }
  // Room for the ids of `bytes` bytes of text: at most 3 for each.
  std::int32_t* room(std::ptrdiff_t bytes) { return ids_.room(3 * bytes); }
  void close(const std::int32_t* end) { ids_.close(end); }
  std::ptrdiff_t count(const std::int32_t* end) const { return end - ids_.data(); }

  // Writes the ids of an edge over these bytes and returns their end.
  std::int32_t* put(Edge edge, const std::uint8_t* text, std::int32_t* to) const {
    if (edge.piece < 0) return put_unknown(edge, text, to);
    *to = edge.piece;
    return to + 1;
  }

 private:
  std::int32_t* put_unknown(Edge edge, const std::uint8_t* text, std::int32_t* to) const {
    if (!model_.byte_fallback()) {
      const std::int32_t id = model_.unknown_piece();
      const bool again = to > ids_.data() + begin_ && to[-1] == id;
      if (!again) *to++ = id;
      return to;
    }
    if (model_.options().space_mark && *text == ' ') {
      for (const int byte : {0xE2, 0x96, 0x81}) {
        *to++ = model_.byte_piece(static_cast<std::uint8_t>(byte));
      }
      return to;
    }
    for (std::uint32_t k = 0; k < edge.length; ++k) *to++ = model_.byte_piece(text[k]);
    return to;
  }

  const Unigram& model_;
  Ids& ids_;
  std::ptrdiff_t begin_;
};

}  // namespace kexue::lattice
