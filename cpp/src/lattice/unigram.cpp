#include "kexue/lattice/unigram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kexue/core/constants.hpp"
#include "kexue/core/error.hpp"

namespace kexue::lattice {

namespace {

using std::ptrdiff_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

constexpr double kLog2e = 1.44269504088896340736;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }
bool is_ascii(uint8_t byte) { return byte < 0x80; }
bool of_three(uint8_t lead) { return (lead & 0xF0) == 0xE0; }
// Two neighbouring bytes as they lie in memory.
uint16_t pair(uint8_t left, uint8_t right) {
  const uint8_t both[2] = {left, right};
  uint16_t number;
  std::memcpy(&number, both, sizeof number);
  return number;
}

// Appends a piece, with spaces for marks if asked.
void append(std::string_view piece, bool space_mark, std::vector<uint8_t>& out) {
  for (size_t i = 0; i < piece.size();) {
    const bool mark = space_mark && piece.substr(i, kSpaceMark.size()) == kSpaceMark;
    out.push_back(mark ? ' ' : static_cast<uint8_t>(piece[i]));
    i += mark ? kSpaceMark.size() : 1;
  }
}

// The byte of <0x00> .. <0xFF>.
uint8_t byte_of(std::string_view name) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const bool shaped = name.size() == 6 && name.substr(0, 3) == "<0x" && name[5] == '>';
  const int high = shaped ? digit(name[3]) : -1, low = shaped ? digit(name[4]) : -1;
  require(high >= 0 && low >= 0, "byte pieces are <0x00> .. <0xFF>");
  return static_cast<uint8_t>(16 * high + low);
}

ptrdiff_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return !continues(static_cast<uint8_t>(c)); });
}

}  // namespace

Unigram::Unigram(std::span<const std::string_view> pieces, std::span<const double> scores,
                 std::span<const PieceType> types, const UnigramOptions& options)
    : options_(options), types_(types.begin(), types.end()) {
  require(pieces.size() == types.size(), "one type per piece");
  take([&](size_t i) { return pieces[i]; }, scores);
}

Unigram::Unigram(std::string_view text, std::span<const Index> begin,
                 std::span<const double> scores, const UnigramOptions& options)
    : options_(options), types_(begin.size() - 1, PieceType::kNormal) {
  const auto piece = [&](size_t i) {
    return text.substr(static_cast<size_t>(begin[i]), static_cast<size_t>(begin[i + 1] - begin[i]));
  };
  take(piece, scores);
}

template <class PieceAt>
void Unigram::take(PieceAt&& piece_at, std::span<const double> scores) {
  const size_t n = types_.size();
  require(n == scores.size(), "one score per piece");
  require(n < (size_t{1} << 29), "too many pieces");
  size_t longest = 0, total = 0;
  for (size_t i = 0; i < n; ++i) {
    longest = std::max(longest, piece_at(i).size());
    total += piece_at(i).size();
  }
  const size_t space = kBeyond + longest;
  require(total + 2 * space < size_t{1} << 32, "the pieces must have less than 4 GiB");
  texts_.reserve(total + 2 * space);
  texts_.resize(space, 0);
  begin_.reserve(n + 1);
  byte_piece_.fill(-1);
  for (size_t i = 0; i < n; ++i) {
    const std::string_view given = piece_at(i);
    begin_.push_back(static_cast<uint32_t>(texts_.size()));
    append(given, options_.space_mark, texts_);
    const auto piece = static_cast<std::int32_t>(i);
    if (types_[i] == PieceType::kByte) byte_piece_[byte_of(given)] = piece;
    if (types_[i] == PieceType::kUnknown) unknown_piece_ = piece;
  }
  begin_.push_back(static_cast<uint32_t>(texts_.size()));
  texts_.resize(texts_.size() + space, 0);
  byte_fallback_ =
      std::none_of(byte_piece_.begin(), byte_piece_.end(), [](int i) { return i < 0; });
  unknown_edges_ = byte_fallback_ || unknown_piece_ >= 0;
  score_pieces(scores);
  build_trie();
}

uint8_t Unigram::named_byte(std::int32_t piece) const { return byte_of(text(piece)); }

void Unigram::build_trie() {
  std::vector<std::string_view> sorted;
  sorted.reserve(types_.size());
  for (size_t i = 0; i < types_.size(); ++i) {
    if (score_[i + 1] == -kInf) continue;
    const std::string_view text = this->text(static_cast<std::int32_t>(i));
    require(!text.empty(), "pieces must not be empty");
    const bool whole = first_invalid(bytes_of(text), std::ssize(text)) == std::ssize(text);
    if (!whole && options_.unicode) continue;
    const bool single_byte = !whole && text.size() == 1 && !unknown_edges_;
    single_bytes_ = single_bytes_ || single_byte;
    whole_characters_ = whole_characters_ && (whole || single_byte);
    sorted.push_back(text);
  }
  std::sort(sorted.begin(), sorted.end());
  // Pieces lie in their order: the number of one is that of the texts before its own end.
  const auto number_of = [&](std::string_view text) {
    const auto place = static_cast<uint32_t>(bytes_of(text) - texts_.data());
    return static_cast<uint32_t>(std::upper_bound(begin_.begin(), begin_.end(), place) -
                                 begin_.begin());
  };
  std::vector<uint32_t> values;
  values.reserve(sorted.size());
  pair_.assign(1 << 16, 1);
  for (int right = 0x80; right < 0xC0; ++right) {
    for (int left = 0; left < 256; ++left) {
      pair_[pair(static_cast<uint8_t>(left), static_cast<uint8_t>(right))] = 0;
    }
  }
  for (const std::string_view text : sorted) {
    const bool one_unit =
        text.size() == 1 || utf8_length(bytes_of(text), std::ssize(text)) == std::ssize(text);
    values.push_back(number_of(text) | (one_unit ? kOneUnit : 0));
    join(text);
  }
  trie_ = Trie(sorted, values);
  size_t n = 0;  // pieces that are characters
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i].size() == 1 && !is_ascii(bytes_of(sorted[i])[0])) continue;
    sorted[n] = sorted[i];
    values[n++] = values[i] & kEntry;
  }
  sorted.resize(n);
  values.resize(n);
  whole_characters_ = whole_characters_ && Characters::can_take(sorted);
  if (!whole_characters_ || single_bytes_) walk_two_bytes();
  if (!whole_characters_) return;
  walk_characters(sorted);
  if (!options_.alphabet) return;
  alphabet_ = Characters(sorted, values);
  alphabet_.set_scores(score_);
}

void Unigram::walk_characters(std::span<const std::string_view> pieces) {
  const bool any = std::any_of(pieces.begin(), pieces.end(),
                               [](std::string_view piece) { return of_three(bytes_of(piece)[0]); });
  three_bits_ = any ? 0xFFFF : 0;
  after_three_.assign(size_t{three_bits_} + 1, {trie_.nowhere() << 8, 0});
  for (const std::string_view piece : pieces) {
    const uint8_t* text = bytes_of(piece);
    if (!of_three(text[0])) continue;
    TrieUnit unit{trie_.root() << 8, 0};
    for (int k = 0; k < 3; ++k) unit = trie_.units()[unit.link >> 8 ^ text[k]];
    after_three_[static_cast<size_t>((text[0] & 15) << 12 | (text[1] & 63) << 6 | (text[2] & 63))] =
        unit;
  }
}

// No cut between neighbours within a piece.
void Unigram::join(std::string_view piece) {
  const uint8_t* text = bytes_of(piece);
  for (ptrdiff_t p = 1; p < std::ssize(piece); ++p) {
    pair_[pair(text[p - 1], text[p])] = 0;
  }
}

// Unknown characters lie 10 below every piece, user-defined pieces above all others of as many
// characters: sentencepiece's rules.
void Unigram::score_pieces(std::span<const double> scores) {
  double lowest = kInf, highest = -kInf;
  for (size_t i = 0; i < scores.size(); ++i) {
    require(scores[i] < kInf, "scores must be finite or -inf");
    if (types_[i] != PieceType::kNormal || scores[i] == -kInf) continue;
    lowest = std::min(lowest, scores[i]);
    highest = std::max(highest, scores[i]);
  }
  if (lowest > highest) lowest = highest = 0;
  unknown_score_ = std::isnan(options_.unknown_score) ? lowest - 10 : options_.unknown_score;
  score_.assign(scores.size() + 1, -kInf);
  for (size_t i = 0; i < scores.size(); ++i) {
    if (types_[i] == PieceType::kNormal) score_[i + 1] = scores[i];
    if (types_[i] != PieceType::kUserDefined) continue;
    const auto characters = count_characters(text(static_cast<std::int32_t>(i)));
    score_[i + 1] = static_cast<double>(characters) * highest - 0.1;
  }
  largest_score_ = unknown_edges_ ? std::abs(unknown_score_) : 0;
  for (const double score : score_) {
    if (score != -kInf) largest_score_ = std::max(largest_score_, std::abs(score));
  }
}

Weights Unigram::weights(double alpha) const {
  Weights out;
  out.alpha = alpha;
  const bool plain = alpha * largest_score() * kLog2e < kScaleStep;
  out.weight.resize(score_.size());
  if (!plain) out.exponent.resize(score_.size());
  const auto set = [&](double score, double length, double& weight, double& exponent) {
    const double x = alpha * score;
    const double bits = std::nearbyint(x * kLog2e);
    const double total = bits + out.tilt * length;
    exponent = plain ? 0 : kScaleStep * std::nearbyint(total / kScaleStep);
    // x - bits log 2, log 2 in two parts.
    const double rest = (x - bits * 0x1.62e42fee00000p-1) - bits * 0x1.a39ef35793c76p-33;
    weight = std::ldexp(std::exp(rest), static_cast<int>(total - exponent));
  };
  const auto set_all = [&] {
    double none = 0;
    for (size_t i = 1; i < score_.size(); ++i) {
      if (score_[i] == -kInf) continue;
      set(score_[i], begin_[i] - begin_[i - 1], out.weight[i], plain ? none : out.exponent[i]);
    }
    for (size_t n = 0; n < out.unknown.size(); ++n) {
      set(unknown_score_, static_cast<double>(n), out.unknown[n], out.unknown_exponent[n]);
    }
  };
  set_all();
  if (!plain) return out;
  out.tilt = tilt_of(out);
  if (out.tilt != 0) set_all();
  return out;
}

// Minus the mean log2 Z per byte of the pieces themselves, each as often as texts have it.
int Unigram::tilt_of(const Weights& weights) const {
  constexpr size_t kSample = 1024;
  const size_t n = types_.size(), step = std::max<size_t>(1, n / kSample);
  const double highest = n == 0 ? 0 : *std::max_element(score_.begin(), score_.end());
  double log_sum = 0, bytes = 0;
  Sums sums;
  for (size_t i = 0; i < n; i += step) {
    const double often = std::exp(score_[i + 1] - highest);
    if (!(often > 0)) continue;
    const auto size = static_cast<ptrdiff_t>(begin_[i + 1] - begin_[i]);
    if (!sum(texts_.data() + begin_[i], size, false, weights, sums)) continue;
    log_sum += often * log_partition(sums, weights, size);
    bytes += often * static_cast<double>(size);
  }
  if (!(bytes > 0)) return 0;
  const double limit = std::floor(kScaleStep / 2 / static_cast<double>(longest()));
  return static_cast<int>(std::clamp(std::nearbyint(-log_sum / bytes * kLog2e), -limit, limit));
}

}  // namespace kexue::lattice
