#include "kexue/lattice/unicode_forms.hpp"

#include <algorithm>
#include <vector>

#include "kexue/lattice/normalizer.hpp"
#include "kexue/lattice/utf8.hpp"

namespace kexue::lattice {
namespace {

// Hangul: syllables are made of a leading consonant, a vowel and perhaps a trailing consonant.
constexpr std::uint32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr std::uint32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr std::uint32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

struct Character {
  std::uint32_t code;
  std::uint8_t order;  // the combining class
  Index source;
};

// Marks by their class, those of one class as they stand: by insertion, many by counting.
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
  const auto place = std::lower_bound(mark.begin(), mark.end(), character);
  return place != mark.end() && *place == character ? mark_class[place - mark.begin()] : 0;
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
  const auto place = std::lower_bound(pair.begin(), pair.end(), wanted);
  return place != pair.end() && *place == wanted ? composed[place - pair.begin()] : 0;
}

void UnicodeForms::apply(UnicodeForm form, const Normalized& in, Normalized& out) const {
  const bool is_compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  const bool composes = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  const Decompositions& table = is_compatible ? compatible : canonical;
  std::vector<Character> line;
  line.reserve(in.text.size());
  const auto add = [&](std::uint32_t code, Index source) {
    line.push_back({code, class_of(code), source});
  };
  const std::string_view text = in.text;
  for (std::size_t i = 0; i < text.size();) {
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
  if (composes) {
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
  if (out.trace) out.source.push_back(in.source.back());
}

}  // namespace kexue::lattice
