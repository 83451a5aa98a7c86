// A unigram model over bytes: pieces with scores, and the sums and the best over all ways to write
// a text as a sequence of pieces.
//
//   score(path) = sum of the scores of its pieces        P(path) = exp(alpha score) / Z(alpha)
//
// Edges. A piece is an edge wherever its bytes stand. Where no piece of one byte or one character
// begins, and the model knows an unknown piece or all 256 byte pieces, one character (one byte
// where the text is no UTF-8) is an edge of the unknown score. With `unicode`, pieces must begin
// and end where characters do.
//
// Cuts. Where two neighbouring characters (in texts that are no UTF-8, bytes) stand together in no
// piece, no edge passes between them: every path visits that place. A text falls into segments
// that are independent of each other, so that the sweeps below work on one segment at a time, sums
// do not outgrow a double, and equal segments have equal answers.
//
// Sums. B(i) = sum over edges from i of w B(end), w = exp(alpha s) 2^(t length), from the right to
// the left: in the linear domain, without logarithm, exponential or stored edge. Every path has the
// same length in bytes, so that the tilt t, an integer, changes no probability and costs no
// rounding (of a model that is typical of its texts it keeps B near 1). Should B leave
// 2^-400..2^400 all the same, the segment is summed again with an exponent for each place. A local
// choice P(edge | i) = w B(end) / B(i) is right to about 1e-15 at any length and any alpha.
//
// O(text times longest piece) time at worst, in practice a few steps per character; memory of one
// segment. Thread-safe once built.
//
// References: T. Kudo, Subword regularization, ACL 2018; Jianlin Su, https://kexue.fm, 9768
// (2023-09-16) and 9811 (2023-10-16); C. K. Carter and R. Kohn, Biometrika 81 (1994).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "kexue/lattice/characters.hpp"
#include "kexue/lattice/dag.hpp"
#include "kexue/lattice/trie.hpp"

namespace kexue::lattice {

// The numbers of sentencepiece's model files.
enum class PieceType : std::uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,  // a normal piece with a score that beats all others of its length
  kUnused = 5,
  kByte = 6,  // <0x00> .. <0xFF>
};

struct UnigramOptions {
  bool space_mark = false;  // U+2581 in pieces stands for the byte 0x20 of the text
  bool unicode = false;     // edges begin and end where characters do
  bool alphabet = true;     // pieces are also known by their characters, which tokenizers need
  // The score of an unknown character; NaN: 10 below the lowest score of a normal piece.
  double unknown_score = std::numeric_limits<double>::quiet_NaN();
};

// One edge: `piece` is -1 for an unknown character.
struct Edge {
  std::int32_t piece;
  std::uint32_t length;  // bytes
};

// exp(alpha s) of every piece.
struct Weights {
  double alpha = 1;
  int tilt = 0;
  // Entry 0 belongs to no piece and is 0; piece i has entry i + 1.
  std::vector<double> weight;
  // Multiples of kScaleStep that the weights are to be multiplied by 2 to the power of, empty if
  // all are 0.
  std::vector<double> exponent;
  std::array<double, 5> unknown{}, unknown_exponent{};  // by length
};

constexpr double kScaleStep = 256;

// What a path can do at a place between bytes: the sums of w B over its pieces of at most 1, 2, 3
// and 4 bytes. Longer pieces and unknown characters come after them.
struct alignas(64) ByteChoice {
  static constexpr std::ptrdiff_t kSteps = 4;
  double sum[kSteps];
  std::int32_t piece[kSteps];  // -1 if there is none
  std::uint32_t base;          // of the trie, where the longer ones go on
};

// Scratch of the sweeps over a segment: grows as needed.
struct Sums {
  std::vector<double> value;     // B, within 2^-128..2^128 if there are exponents
  std::vector<double> exponent;  // multiples of kScaleStep
  bool scaled = false;
  // If so, the choices at the places from first_choice on, kWindow of them at most.
  bool chosen = false;
  static constexpr std::ptrdiff_t kWindow = 1024;
  std::ptrdiff_t first_choice = 0;
  std::vector<ByteChoice> choice;
};
struct Best {
  std::vector<double> score;
  std::vector<Edge> edge;  // the first edge of the best path from each place
};

// Where a walk from a place stands after its first, its second and its third character.
struct Walk {
  const std::uint8_t* at;
  std::uint32_t first, both, all;  // bytes
  TrieUnit one, two, three;
};

// A text in segments; with `coded`, also its characters.
class Segments {
 public:
  std::span<const Index> ends() const { return {end_.data(), n_segments_}; }  // in bytes
  // If so: the ends in characters, their codes (see Characters) with zeros behind them, where each
  // of them begins, and the size of the text.
  bool coded() const { return coded_; }
  const std::uint32_t* last() const { return last_.data(); }
  const std::uint16_t* codes() const { return code_.data(); }
  const std::uint32_t* places() const { return place_.data(); }

  // Room for the codes and places of n characters.
  void make_room(std::size_t n);
  std::uint16_t* codes() { return code_.data(); }
  std::uint32_t* places() { return place_.data(); }

 private:
  friend class Unigram;
  void make_room_for_ends(std::size_t n, bool coded);

  std::vector<Index> end_;
  std::vector<std::uint64_t> cut_;  // bit i % 64 of i / 64: a text ends at i
  std::vector<std::uint32_t> last_, place_;
  std::vector<std::uint16_t> code_;
  std::size_t n_segments_ = 0;
  bool coded_ = false;
};

// The first steps of the walk from a character; most end within them.
struct alignas(64) Steps {
  static constexpr std::uint32_t kSteps = 4;
  std::uint64_t link[kSteps];  // of units, 0 where the walk has ended
  double score[kSteps];
};

// What the best path does at a character: `value` is 1 + a piece, 0 for an unknown character.
struct Move {
  std::uint32_t value, characters;
};

class Unigram {
 public:
  // One score and one type per piece; -inf takes a piece out. Pieces that are normal or user
  // defined must differ and not be empty: std::invalid_argument otherwise.
  Unigram(std::span<const std::string_view> pieces, std::span<const double> scores,
          std::span<const PieceType> types, const UnigramOptions& options);
  // Normal pieces that lie in one text, one behind the other.
  Unigram(std::string_view text, std::span<const Index> begin, std::span<const double> scores,
          const UnigramOptions& options);

  std::ptrdiff_t n_pieces() const { return static_cast<std::ptrdiff_t>(types_.size()); }
  std::ptrdiff_t longest() const { return trie_.longest(); }  // piece, in bytes
  std::string_view text(std::int32_t piece) const {
    const auto i = static_cast<std::size_t>(piece);
    return {reinterpret_cast<const char*>(texts_.data()) + begin_[i], begin_[i + 1] - begin_[i]};
  }
  PieceType type(std::int32_t piece) const { return types_[static_cast<std::size_t>(piece)]; }
  std::uint8_t named_byte(std::int32_t piece) const;  // of a byte piece
  const UnigramOptions& options() const { return options_; }
  std::int32_t unknown_piece() const { return unknown_piece_; }
  bool byte_fallback() const { return byte_fallback_; }
  // The piece of a byte, with byte_fallback().
  std::int32_t byte_piece(std::uint8_t byte) const { return byte_piece_[byte]; }
  double unknown_score() const { return unknown_score_; }
  // The score an edge of a piece has: for user-defined pieces not the given one.
  double edge_score(std::int32_t piece) const {
    return piece < 0 ? unknown_score_ : score_[static_cast<std::size_t>(piece) + 1];
  }
  double largest_score() const { return largest_score_; }  // the largest modulus of an edge's score
  // Whether valid UTF-8 can be swept by characters: pieces begin and end where characters do, but
  // for those of a single byte.
  bool whole_characters() const { return whole_characters_; }

  Weights weights(double alpha) const;

  const Characters& alphabet() const { return alphabet_; }
  // The places 0 < p < size where segments end, and `size` unless it is 0.
  // Segments end at `breaks` too, which ascend and lie in 0 .. size. 72 bytes from text[size] and 8
  // before text[0] may be read. `valid`: the text is UTF-8 and whole_characters(); then it is coded
  // unless it is ASCII or the model has no alphabet.
  void segment(const std::uint8_t* text, std::ptrdiff_t size, bool valid,
               std::span<const Index> breaks, Segments& out) const;
  // The same of a text of n characters whose codes and places are there, with kBegins at breaks.
  void segment(std::size_t n, Segments& out) const;

  // Whether paths through valid UTF-8 visit no place within characters, so that words can be given
  // as characters.
  bool has_words() const { return whole_characters_ && !single_bytes_; }
  // Words of characters, one after the other with zeros between and behind them: the walks from all
  // of them together, so that their waits for memory overlap.
  void begin_words(std::span<const std::uint16_t> codes, Steps* steps) const;
  // The score of the best path through n characters, whose scores and moves are written to
  // after[0] .. after[n] and moves[0] .. moves[n - 1]; -inf if there is none. The same as
  // best().
  double best_word(const std::uint16_t* codes, const Steps* steps, std::size_t n, double* after,
                   Move* moves) const;

  // What follows takes a segment (or several together) of a text that may be read margin() bytes
  // beyond on either side. `valid`: the text is UTF-8 and whole_characters().
  std::ptrdiff_t margin() const { return kBeyond + trie_.longest(); }

  // The score of the best path, -inf if there is none. Among equal ones the path whose first
  // differing piece is longer.
  double best(const std::uint8_t* text, std::ptrdiff_t size, bool valid, Best& out) const;
  // False if there is no path.
  bool sum(const std::uint8_t* text, std::ptrdiff_t size, bool valid, const Weights& weights,
           Sums& out) const;

  // Of sums that are `chosen`.
  // The piece of more than kSteps bytes that the partial sums reach `target` with; none, of length
  // 0, if all stay below.
  Edge longer_edge(const ByteChoice& choice, const std::uint8_t* text, std::ptrdiff_t place,
                   const Weights& weights, const Sums& sums, double target) const;
  // Moves the choices to the block of a place.
  void choose_from(const std::uint8_t* text, std::ptrdiff_t size, std::ptrdiff_t place,
                   const Weights& weights, Sums& sums) const;

  // log Z of summed segments.
  static double log_partition(const Sums& sums, const Weights& weights, std::ptrdiff_t size);
  // The last place that a path from 0 reaches: `size` if there is a path.
  std::ptrdiff_t reach(const std::uint8_t* text, std::ptrdiff_t size) const;

  // Calls visit(edge) for each edge from place i, short ones first, an unknown one last.
  template <class Visit>
  void edges(const std::uint8_t* text, std::ptrdiff_t size, std::ptrdiff_t i, Visit&& visit) const;
  // P(edge | i) for an edge at place i of a summed segment.
  static double chance(const Sums& sums, const Weights& weights, std::ptrdiff_t i, Edge edge);

  // What w B(end) is to be multiplied by to be in the units of B(i).
  static double scale_of(const Sums& sums, const Weights& weights, std::ptrdiff_t i, Edge edge);
  static double weight_of(const Weights& weights, Edge edge) {
    return edge.piece < 0 ? weights.unknown[edge.length]
                          : weights.weight[static_cast<std::size_t>(edge.piece) + 1];
  }
  static double exponent_of(const Weights& weights, Edge edge) {
    if (weights.exponent.empty()) return 0;
    return edge.piece < 0 ? weights.unknown_exponent[edge.length]
                          : weights.exponent[static_cast<std::size_t>(edge.piece) + 1];
  }

 private:
  static constexpr std::uint32_t kOneUnit = 1U << 31;  // of a value: a piece of one byte or char
  static constexpr std::uint32_t kEntry = kOneUnit - 1;

  void join(std::string_view piece);
  void build_trie();
  template <class PieceAt>
  void take(PieceAt&& piece_at, std::span<const double> scores);
  void walk_characters(std::span<const std::string_view> pieces);
  std::uint32_t one_byte(std::uint8_t byte) const { return one_byte_[byte] & kEntry; }
  void score_pieces(std::span<const double> scores);
  int tilt_of(const Weights& weights) const;
  bool by_characters(const std::uint8_t* text, std::ptrdiff_t size, bool valid) const;
  static constexpr std::ptrdiff_t kBeyond = 80;
  static constexpr std::size_t kWalks = 32;
  std::uint64_t cuts(const std::uint8_t* text) const;
  std::size_t encode(const std::uint8_t* text, std::ptrdiff_t size, std::span<const Index> breaks,
                     Segments& out) const;
  // Walks through the trie wait for memory and end where nobody can foresee it. On `valid` text
  // their first three characters, which is as far as most come, are therefore made without a branch
  // for many places together, so that the waits overlap. begin_walks() takes the last `most`
  // characters before text[end], from the right to the left, and returns their number;
  // follow_walks() completes any number of them.
  std::size_t begin_walks(const std::uint8_t* text, std::ptrdiff_t end, std::size_t most,
                          Walk* walks) const;
  void follow_walks(std::span<Walk> walks) const;
  TrieUnit over(std::uint32_t base, const std::uint8_t* at, std::uint32_t length) const;
  template <bool kSingleBytes>
  void best_from(const Walk& walk, double* after, Edge* best) const;
  template <bool kSingleBytes>
  bool sum_from(const Walk& walk, const Weights& weights, double* here) const;
  void prepare(std::ptrdiff_t size, Best& out) const;
  void prepare(std::ptrdiff_t size, const Weights& weights, Sums& out) const;
  template <bool kSingleBytes>
  double best_characters(const std::uint8_t* text, std::ptrdiff_t size, Best& out) const;
  struct ByteWalks;
  void walk_two_bytes();
  void walk_bytes(const std::uint8_t* text, std::ptrdiff_t n, ByteWalks& walks) const;
  void best_block(const std::uint8_t* text, std::ptrdiff_t begin, std::ptrdiff_t n,
                  std::ptrdiff_t size, Best& out) const;
  bool sum_block(const std::uint8_t* text, std::ptrdiff_t begin, std::ptrdiff_t n,
                 std::ptrdiff_t size, const Weights& weights, double* value,
                 ByteChoice* choices) const;
  double best_bytes(const std::uint8_t* text, std::ptrdiff_t size, Best& out) const;
  template <bool kSingleBytes>
  bool sum_characters(const std::uint8_t* text, std::ptrdiff_t size, const Weights& weights,
                      Sums& out) const;
  bool sum_bytes(const std::uint8_t* text, std::ptrdiff_t size, const Weights& weights,
                 Sums& out) const;
  void sum_scaled(const std::uint8_t* text, std::ptrdiff_t size, const Weights& weights,
                  Sums& out) const;
  // Whether B can be without an exponent.
  static bool fits_range(double sum) {
    constexpr double kLargest = 0x1p400, kSmallest = 0x1p-400;
    return sum < kLargest && (sum > kSmallest || sum == 0);
  }
  // What the sweeps over valid text begin with at a character of three bytes.
  TrieUnit after_three(const std::uint8_t* at) const {
    const auto bits = static_cast<std::uint32_t>((at[0] & 15) << 12 | (at[1] & 63) << 6);
    return after_three_[(bits | (at[2] & 63U)) & three_bits_];
  }
  static std::uint32_t unit_length(const std::uint8_t* text, std::ptrdiff_t size);

  UnigramOptions options_;
  std::vector<PieceType> types_;
  std::vector<std::uint8_t> texts_;   // of the pieces, margins around them
  std::vector<std::uint32_t> begin_;  // and the end of the last one
  std::vector<double> score_;         // entry 0 is -inf; as in Weights
  double unknown_score_ = 0, largest_score_ = 0;
  std::int32_t unknown_piece_ = -1;
  std::array<std::int32_t, 256> byte_piece_{};
  bool byte_fallback_ = false;
  bool unknown_edges_ = false;
  bool whole_characters_ = true;
  // Some of its pieces are a byte >= 0x80 alone. A path through valid UTF-8 can then also spell a
  // character: visit all places within it, from each of which nothing but a single byte leads on.
  bool single_bytes_ = false;
  Trie trie_{{}, {}};
  // With whole characters, where the walk from the root stands after a character of three bytes, by
  // its sixteen bits; one entry if no piece begins with such a character.
  std::vector<TrieUnit> after_three_;
  std::uint32_t three_bits_ = 0;
  // Without them or with single bytes, the value of a byte, and where the walk stands after two,
  // the first one in the lower half.
  std::vector<std::uint32_t> one_byte_;
  std::array<bool, 256> alone_{};  // no piece of more bytes begins with this one
  std::vector<TrieUnit> after_two_;
  Characters alphabet_;  // with whole characters, if asked for
  // By two neighbouring bytes as they lie in memory: whether a segment ends between them.
  std::vector<std::uint8_t> pair_;
};

}  // namespace kexue::lattice

#include "kexue/lattice/unigram_edges.hpp"
