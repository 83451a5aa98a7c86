#include "kexue/lattice/unicode_forms.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kexue/core/pool.hpp"
#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {
namespace {

// Hangul: syllables are made of a leading consonant, a vowel and perhaps a trailing consonant.
constexpr std::uint32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr std::uint32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr std::uint32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

bool is_compatible(UnicodeForm form) {
  return form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
}
bool composes(UnicodeForm form) { return form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc; }

bool is_ascii(const char* eight) {
  std::uint64_t word = 0;
  std::memcpy(&word, eight, sizeof word);
  return (word & 0x8080808080808080) == 0;
}

// Marks by their class, those of one class as they stand: by insertion, many by counting.
template <class Character>
void sort_marks(Character* begin, Character* end) {
  constexpr std::ptrdiff_t kFew = 32;
  if (end - begin <= kFew) {
    for (Character* next = begin + 1; next < end; ++next) {
      const Character mark = *next;
      Character* place = next;
      for (; place > begin && place[-1].order > mark.order; --place) *place = place[-1];
      *place = mark;
    }
    return;
  }
  const std::vector<Character> marks(begin, end);
  std::ptrdiff_t first[257] = {};
  for (const Character& mark : marks) ++first[mark.order + 1];
  for (int order = 0; order < 256; ++order) first[order + 1] += first[order];
  for (const Character& mark : marks) begin[first[mark.order]++] = mark;
}

}  // namespace

struct UnicodeForms::Character {
  std::uint32_t code;
  std::uint8_t order;  // the combining class
  Index source;
};

void UnicodeForms::Decompositions::find(std::uint32_t character, const std::uint32_t*& begin,
                                        const std::uint32_t*& end) const {
  begin = end = nullptr;
  const auto place = std::lower_bound(code.begin(), code.end(), character);
  if (place == code.end() || *place != character) return;
  const auto row = place - code.begin();
  begin = characters.data() + first[row];
  end = characters.data() + first[row + 1];
}

std::uint8_t UnicodeForms::class_of(std::uint32_t character) const {
  if (character < 0x300) return 0;
  const auto place = std::lower_bound(mark_.begin(), mark_.end(), character);
  return place != mark_.end() && *place == character ? mark_class_[place - mark_.begin()] : 0;
}

std::uint32_t UnicodeForms::compose(std::uint32_t starter, std::uint32_t character) const {
  if (starter - kLeads < kLeadCount && character - kVowels < kVowelCount) {
    return kSyllables + ((starter - kLeads) * kVowelCount + character - kVowels) * kTailCount;
  }
  if (starter - kSyllables < kSyllableCount && (starter - kSyllables) % kTailCount == 0 &&
      character - kTails - 1 < kTailCount - 1) {
    return starter + character - kTails;
  }
  const std::uint64_t wanted = std::uint64_t{starter} << 32 | character;
  const auto place = std::lower_bound(pair_.begin(), pair_.end(), wanted);
  return place != pair_.end() && *place == wanted ? composed_[place - pair_.begin()] : 0;
}

UnicodeForms::UnicodeForms(Decompositions canonical, Decompositions compatible,
                           std::vector<std::uint32_t> mark, std::vector<std::uint8_t> mark_class,
                           std::vector<std::uint64_t> pair, std::vector<std::uint32_t> composed)
    : canonical_(std::move(canonical)),
      compatible_(std::move(compatible)),
      mark_(std::move(mark)),
      mark_class_(std::move(mark_class)),
      pair_(std::move(pair)),
      composed_(std::move(composed)) {
  for (int form = 0; form < 4; ++form) find_settled(static_cast<UnicodeForm>(form));
}

// ---- Settled characters

void UnicodeForms::find_settled(UnicodeForm form) {
  std::vector<bool> settled(kMostSettled, true);
  const auto unsettle = [&](std::uint32_t character) {
    if (character < kMostSettled) settled[character] = false;
  };
  for (const std::uint32_t character : mark_) unsettle(character);
  if (composes(form)) {
    for (const std::uint64_t pair : pair_) unsettle(static_cast<std::uint32_t>(pair));
    for (std::uint32_t i = 0; i < kVowelCount; ++i) unsettle(kVowels + i);
    for (std::uint32_t i = 1; i < kTailCount; ++i) unsettle(kTails + i);
  } else {
    for (std::uint32_t i = 0; i < kSyllableCount; ++i) unsettle(kSyllables + i);
  }
  // Those that decompose: whether they come back, and what they begin with.
  const Decompositions& table = is_compatible(form) ? compatible_ : canonical_;
  Normalized one, whole;
  std::vector<Character> line;
  for (std::size_t row = 0; row < table.code.size() && table.code[row] < kMostSettled; ++row) {
    const std::uint32_t character = table.code[row], first = table.characters[table.first[row]];
    one.clear();
    whole.clear();
    encode(character, one.text);
    apply_part(form, one, 0, one.text.size(), line, whole);
    if (whole.text != one.text || first >= kMostSettled || !settled[first]) unsettle(character);
  }
  std::bitset<kMostSettled / kBlock>& blocks = settled_blocks_[static_cast<std::size_t>(form)];
  for (std::size_t code = 0x800; code < kMostSettled; code += kBlock) {
    const auto first = settled.begin() + static_cast<std::ptrdiff_t>(code);
    const bool surrogates = code >= 0xD800 && code < 0xE000;
    blocks[code / kBlock] =
        !surrogates && std::find(first, first + kBlock, false) == first + kBlock;
  }
  settled_[static_cast<std::size_t>(form)] = std::move(settled);
}

// Whether three bytes are a character of a block that is settled as a whole.
bool UnicodeForms::in_settled_block(UnicodeForm form, const char* three) const {
  std::uint8_t byte[3];
  std::memcpy(byte, three, sizeof byte);
  const bool shaped =
      (byte[0] & 0xF0) == 0xE0 && (byte[1] & 0xC0) == 0x80 && (byte[2] & 0xC0) == 0x80;
  const std::size_t block = std::size_t{byte[0] & 15U} << 6 | (byte[1] & 63U);
  return shaped && settled_blocks_[static_cast<std::size_t>(form)][block];
}

std::size_t UnicodeForms::settled(UnicodeForm form, std::string_view text) const {
  constexpr std::size_t kPoll = 1 << 20;
  std::size_t last = 0;  // where the last settled character begins
  for (std::size_t i = 0, polled = 0; i < text.size();) {
    if (i - polled >= kPoll) {
      poll_interrupt();
      polled = i;
    }
    for (; i + 8 <= text.size() && is_ascii(text.data() + i); i += 8) last = i + 7;
    for (; i + 3 <= text.size() && in_settled_block(form, text.data() + i); i += 3) last = i;
    if (i == text.size()) break;
    const CodePoint point = decode(text.substr(i));
    if (!is_settled(form, point.code)) return last;
    last = i;
    i += static_cast<std::size_t>(point.size);
  }
  return text.size();
}

// ---- Forms

void UnicodeForms::apply(UnicodeForm form, const Normalized& in, Normalized& out) const {
  const std::string_view text = in.text;
  std::vector<Character> line;
  std::size_t parts = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    if ((++parts & 0xFFF) == 0) poll_interrupt();
    const std::size_t copied = begin + settled(form, text.substr(begin));
    for (std::size_t size = 0; begin < copied; begin += size) {
      if (!in.trace) {
        size = copied - begin;
      } else {
        size = static_cast<std::size_t>(decode(text.substr(begin)).size);
      }
      out.put(text.substr(begin, size), in.trace ? in.source[begin] : 0);
    }
    // The last settled character, those that are not, up to the next one.
    std::size_t end = begin;
    while (end < text.size()) {
      const CodePoint point = decode(text.substr(end));
      if (end > begin && is_settled(form, point.code)) break;
      end += static_cast<std::size_t>(point.size);
    }
    if (end > begin) apply_part(form, in, begin, end, line, out);
    begin = end;
  }
  if (out.trace) out.source.push_back(in.source.back());
}

// The characters of in.text from `begin` to `end`, which are independent of the others.
void UnicodeForms::apply_part(UnicodeForm form, const Normalized& in, std::size_t begin_of_part,
                              std::size_t end_of_part, std::vector<Character>& line,
                              Normalized& out) const {
  const Decompositions& table = is_compatible(form) ? compatible_ : canonical_;
  line.clear();
  const auto add = [&](std::uint32_t code, Index source) {
    line.push_back({code, class_of(code), source});
  };
  const std::string_view text = std::string_view(in.text).substr(0, end_of_part);
  for (std::size_t i = begin_of_part; i < end_of_part;) {
    const CodePoint point = decode(text.substr(i));
    const Index source = in.trace ? in.source[i] : 0;
    const std::uint32_t syllable = point.code - kSyllables;
    const std::uint32_t *begin = nullptr, *end = nullptr;
    if (syllable < kSyllableCount) {
      add(kLeads + syllable / (kVowelCount * kTailCount), source);
      add(kVowels + syllable / kTailCount % kVowelCount, source);
      if (syllable % kTailCount != 0) add(kTails + syllable % kTailCount, source);
    } else {
      if (point.code >= 0x80) table.find(point.code, begin, end);
      if (begin == end) add(point.code, source);
      for (; begin != end; ++begin) add(*begin, source);
    }
    i += static_cast<std::size_t>(point.size);
  }
  for (auto run = line.begin(); run != line.end();) {
    if (run->order == 0) {
      ++run;
      continue;
    }
    auto stop = run;
    while (stop != line.end() && stop->order != 0) ++stop;
    sort_marks(&*run, &*run + (stop - run));
    run = stop;
  }
  std::size_t kept = 0, starter = line.size();
  if (composes(form)) {
    for (const Character character : line) {
      // A mark is blocked by one of its own class or above between it and the starter.
      const bool is_next = starter < kept && starter + 1 == kept;
      const bool is_free = starter < kept && (is_next || (character.order > line[kept - 1].order));
      const std::uint32_t whole = is_free ? compose(line[starter].code, character.code) : 0;
      if (whole != 0) {
        line[starter].code = whole;
        continue;
      }
      if (character.order == 0) starter = kept;
      line[kept++] = character;
    }
    line.resize(kept);
  }
  std::string bytes;
  for (const Character& character : line) {
    bytes.clear();
    encode(character.code, bytes);
    out.put(bytes, character.source);
  }
}

}  // namespace kexue::lattice
