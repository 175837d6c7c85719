#include "layeravatar/train/people_attributes.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>

#include "layeravatar/diffusion/mixture_prior.h"

namespace layeravatar::train {
namespace {

using avatar::VocabularyEntry;
using Form = VocabularyEntry::Form;
using Words = std::vector<std::string>;
using Colour = std::array<double, 3>;

constexpr int kLeastPeople = 2;
constexpr std::int64_t kParts = diffusion::MixturePrior::kParts;

bool tells_kinds(const std::string& name) { return name == "top" || name == "bottom" || name == "shoes" || name == "hair"; }

template <class T>
const T* find(const io::Attributes& person, const std::string& name) {
  const auto found = person.find(name);
  return found == person.end() ? nullptr : std::get_if<T>(&found->second);
}

// Words that enough people have, and for attributes other than kinds not all of them.
Words common_words(const std::vector<io::Attributes>& people, const std::string& name) {
  std::map<std::string, int> counts;
  for (const auto& person : people)
    if (const auto* words = find<Words>(person, name))
      for (const std::string& word : std::set<std::string>(words->begin(), words->end())) ++counts[word];
  Words out;
  for (const auto& [word, count] : counts)
    if (count >= kLeastPeople) out.push_back(word);
  return out;
}

// The values of a person, NaN where not known; kKind has none.
void put_values(const VocabularyEntry& entry, const io::Attributes& person, torch::Tensor row) {
  if (const auto* words = find<Words>(person, entry.name); words != nullptr && entry.form == Form::kWords)
    for (std::size_t w = 0; w < entry.words.size(); ++w)
      row[entry.first + static_cast<std::int64_t>(w)] = std::find(words->begin(), words->end(), entry.words[w]) == words->end() ? 0.0 : 1.0;
  if (const auto* number = find<double>(person, entry.name); number != nullptr && entry.form == Form::kNumber) row[entry.first] = *number;
  if (const auto* colour = find<Colour>(person, entry.name); colour != nullptr && entry.form == Form::kColour)
    for (std::size_t c = 0; c < 3; ++c) row[entry.first + static_cast<std::int64_t>(c)] = (*colour)[c];
}

void put_words(const VocabularyEntry& entry, const io::Attributes& person, torch::Tensor row) {
  if (const auto* words = find<Words>(person, entry.name); words != nullptr && entry.form == Form::kKind)
    for (std::size_t w = 0; w < entry.words.size(); ++w)
      if (std::find(words->begin(), words->end(), entry.words[w]) != words->end()) row[entry.first + static_cast<std::int64_t>(w)] = true;
}

}  // namespace

avatar::Vocabulary make_vocabulary(const std::vector<io::Attributes>& people) {
  std::map<std::string, std::set<std::size_t>> forms;  // by the variant's index
  for (const auto& person : people)
    for (const auto& [name, value] : person) forms[name].insert(value.index());
  avatar::Vocabulary out;
  std::array<int, kParts> words_taken{}, values_taken{};
  for (const auto& [name, kinds] : forms) {
    if (kinds.size() != 1) continue;  // no two people say the same of it
    VocabularyEntry entry;
    entry.name = name;
    entry.part = avatar::part_of_attribute(name);
    const std::size_t index = *kinds.begin();
    entry.form = index == 0 ? Form::kNumber : index == 2 ? Form::kColour : tells_kinds(name) ? Form::kKind : Form::kWords;
    if (index == 1) entry.words = common_words(people, name);
    if (index == 1 && entry.words.size() < 2) continue;
    auto& taken = entry.form == Form::kKind ? words_taken.at(static_cast<std::size_t>(entry.part)) : values_taken.at(static_cast<std::size_t>(entry.part));
    const int size = index == 1 ? static_cast<int>(entry.words.size()) : index == 2 ? 3 : 1;
    const auto room = entry.form == Form::kKind ? diffusion::PriorAttributes::kWords : diffusion::PriorAttributes::kValues;
    if (taken + size > room) continue;
    entry.first = taken;
    taken += size;
    out.push_back(std::move(entry));
  }
  return out;
}

diffusion::PeopleAttributes people_attributes(const avatar::Vocabulary& vocabulary, const std::vector<io::Attributes>& people) {
  const auto n = static_cast<std::int64_t>(people.size());
  diffusion::PeopleAttributes out;
  for (std::int64_t p = 0; p < kParts; ++p) {
    out.kinds.push_back(torch::full({n}, -1, torch::kInt64));
    out.words.push_back(torch::zeros({n, diffusion::PriorAttributes::kWords}, torch::kBool));
    out.values.push_back(torch::full({n, diffusion::PriorAttributes::kValues}, std::numeric_limits<float>::quiet_NaN()));
  }
  for (const VocabularyEntry& entry : vocabulary) {
    const auto p = static_cast<std::size_t>(entry.part);
    std::map<std::string, std::int64_t> numbers;
    for (std::int64_t i = 0; i < n; ++i) {
      const io::Attributes& person = people[static_cast<std::size_t>(i)];
      put_values(entry, person, out.values[p][i]);
      put_words(entry, person, out.words[p][i]);
      if (const auto* words = find<Words>(person, entry.name); words != nullptr && entry.form == Form::kKind)
        out.kinds[p][i] = numbers.emplace(words->at(0), static_cast<std::int64_t>(numbers.size())).first->second;
    }
  }
  return out;
}

diffusion::Condition condition_of(const avatar::Vocabulary& vocabulary, const io::Attributes& person) {
  diffusion::Condition out = diffusion::no_condition(kParts);
  for (const VocabularyEntry& entry : vocabulary) {
    put_values(entry, person, out.values[entry.part]);
    put_words(entry, person, out.words[entry.part]);
  }
  return out;
}

}  // namespace layeravatar::train
