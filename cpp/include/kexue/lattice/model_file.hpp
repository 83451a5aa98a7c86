// sentencepiece's model files: a protocol buffer, read and written field by field.
//
// Numbers of the fields (sentencepiece_model.proto):
//   model       1 piece (1 text, 2 score, 3 type: a PieceType), 2 trainer, 3 normaliser
//   trainer     3 model type, 4 size of the vocabulary, 24 whitespace is a suffix, 35 byte
//   fallback,
//               40..43 ids of unk, bos, eos, pad, 44 surface of unk, 45..48 their texts
//   normaliser  1 name, 2 map of characters, 3 add dummy prefix, 4 remove extra whitespaces,
//               5 escape whitespaces
// Unknown fields are skipped. Reading takes O(bytes) time and memory, whatever the bytes are:
// lengths are checked against what is left before anything is stored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kexue::lattice {

struct ModelFile {
  static constexpr std::uint64_t kUnigram = 1;

  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<std::uint8_t> types;
  std::uint64_t model_type = kUnigram;
  bool whitespace_as_suffix = false, byte_fallback = false;
  std::int64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;
  std::string unk_surface = " \xE2\x81\x87 ";
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>", pad_piece = "<pad>";
  std::string rule_name, charsmap;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

// std::invalid_argument if the bytes are no such message.
ModelFile read_model(std::string_view bytes);
std::string write_model(const ModelFile& model);

}  // namespace kexue::lattice
