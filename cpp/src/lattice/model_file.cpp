#include "kexue/lattice/model_file.hpp"

#include <bit>
#include <cstddef>

#include "kexue/core/error.hpp"

namespace kexue::lattice {
namespace {

constexpr const char* kBroken = "the model is cut short or no protocol buffer";

// What a field holds depends on its wire type: a number (0 varint, 1 and 5 fixed) or bytes (2).
struct Field {
  std::uint64_t number = 0;
  int wire = 0;
  std::uint64_t value = 0;
  std::string_view bytes;

  bool flag() const { return value != 0; }
  std::int64_t integer() const { return static_cast<std::int32_t>(value); }
  std::string text() const { return std::string(bytes); }
  float real() const { return std::bit_cast<float>(static_cast<std::uint32_t>(value)); }
};

// The fields of a message, one after the other.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3, static_cast<int>(key & 7), 0, {}};
    switch (field.wire) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        require(false, kBroken);  // groups are not part of the format
    }
    require(field.number != 0, kBroken);
    return true;
  }

 private:
  std::string_view take(std::uint64_t size) {
    require(size <= rest_.size(), kBroken);
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      const auto byte = std::uint64_t{static_cast<unsigned char>(take(1)[0])};
      if (shift < 64) value |= (byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    require(false, kBroken);
    return 0;
  }
  std::uint64_t fixed(int size) {
    const std::string_view bytes = take(static_cast<std::uint64_t>(size));
    std::uint64_t value = 0;
    for (int i = 0; i < size; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    }
    return value;
  }

  std::string_view rest_;
};

// A field of another wire type than the format's would be read as an empty or zero value.
void expect(const Field& field, int wire) { require(field.wire == wire, kBroken); }

void read_piece(std::string_view bytes, ModelFile& model) {
  std::string text;
  float score = 0;
  std::uint64_t type = 1;
  Field field;
  for (Reader reader(bytes); reader.next(field);) {
    if (field.number == 1) {
      expect(field, 2);
      text = field.text();
    } else if (field.number == 2) {
      expect(field, 5);
      score = field.real();
    } else if (field.number == 3) {
      expect(field, 0);
      type = field.value;
    }
  }
  require(type >= 1 && type <= 6, "a piece has an unknown type");
  model.pieces.push_back(std::move(text));
  model.scores.push_back(score);
  model.types.push_back(static_cast<std::uint8_t>(type));
}

void read_trainer(std::string_view bytes, ModelFile& model) {
  Field field;
  for (Reader reader(bytes); reader.next(field);) {
    switch (field.number) {
      case 3:
        model.model_type = field.value;
        break;
      case 24:
        model.whitespace_as_suffix = field.flag();
        break;
      case 35:
        model.byte_fallback = field.flag();
        break;
      case 40:
        model.unk_id = field.integer();
        break;
      case 41:
        model.bos_id = field.integer();
        break;
      case 42:
        model.eos_id = field.integer();
        break;
      case 43:
        model.pad_id = field.integer();
        break;
      case 44:
        model.unk_surface = field.text();
        break;
      case 45:
        model.unk_piece = field.text();
        break;
      case 46:
        model.bos_piece = field.text();
        break;
      case 47:
        model.eos_piece = field.text();
        break;
      case 48:
        model.pad_piece = field.text();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(std::string_view bytes, ModelFile& model) {
  Field field;
  for (Reader reader(bytes); reader.next(field);) {
    switch (field.number) {
      case 1:
        model.rule_name = field.text();
        break;
      case 2:
        model.charsmap = field.text();
        break;
      case 3:
        model.add_dummy_prefix = field.flag();
        break;
      case 4:
        model.remove_extra_whitespaces = field.flag();
        break;
      case 5:
        model.escape_whitespaces = field.flag();
        break;
      default:
        break;
    }
  }
}

class Writer {
 public:
  void number(std::uint64_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void integer(std::uint64_t field, std::int64_t value) {
    number(field, static_cast<std::uint64_t>(value));
  }
  void real(std::uint64_t field, float value) {
    varint(field << 3 | 5);
    const auto word = std::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(word >> (8 * i) & 0xFF));
  }
  void bytes(std::uint64_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    out.append(value);
  }

  std::string out;

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    out.push_back(static_cast<char>(value));
  }
};

}  // namespace

ModelFile read_model(std::string_view bytes) {
  ModelFile model;
  Field field;
  for (Reader reader(bytes); reader.next(field);) {
    if (field.number > 3) continue;
    expect(field, 2);
    if (field.number == 1) read_piece(field.bytes, model);
    if (field.number == 2) read_trainer(field.bytes, model);
    if (field.number == 3) read_normalizer(field.bytes, model);
  }
  require(!model.pieces.empty(), "the model has no pieces");
  return model;
}

std::string write_model(const ModelFile& model) {
  Writer file;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    Writer piece;
    piece.bytes(1, model.pieces[i]);
    piece.real(2, model.scores[i]);
    piece.number(3, model.types[i]);
    file.bytes(1, piece.out);
  }
  Writer trainer;
  trainer.number(3, model.model_type);
  trainer.number(4, model.pieces.size());
  trainer.number(24, model.whitespace_as_suffix ? 1 : 0);
  trainer.number(35, model.byte_fallback ? 1 : 0);
  trainer.integer(40, model.unk_id);
  trainer.integer(41, model.bos_id);
  trainer.integer(42, model.eos_id);
  trainer.integer(43, model.pad_id);
  trainer.bytes(44, model.unk_surface);
  trainer.bytes(45, model.unk_piece);
  trainer.bytes(46, model.bos_piece);
  trainer.bytes(47, model.eos_piece);
  trainer.bytes(48, model.pad_piece);
  file.bytes(2, trainer.out);
  Writer normalizer;
  normalizer.bytes(1, model.rule_name);
  normalizer.bytes(2, model.charsmap);
  normalizer.number(3, model.add_dummy_prefix ? 1 : 0);
  normalizer.number(4, model.remove_extra_whitespaces ? 1 : 0);
  normalizer.number(5, model.escape_whitespaces ? 1 : 0);
  file.bytes(3, normalizer.out);
  return file.out;
}

}  // namespace kexue::lattice
