#include "layeravatar/avatar/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "layeravatar/core/error.h"
#include "layeravatar/io/attributes.h"

namespace layeravatar::avatar {
namespace {

using Json = nlohmann::ordered_json;
using Form = VocabularyEntry::Form;

constexpr std::array<std::pair<const char*, Form>, 4> kForms = {{{"kind", Form::kKind}, {"words", Form::kWords}, {"number", Form::kNumber}, {"colour", Form::kColour}}};
// As diffusion::PriorAttributes has them.
constexpr int kParts = 5, kWords = 32, kValues = 24;

}  // namespace

int part_of_attribute(const std::string& name) {
  const auto of = [&](const std::string& component) { return name == component || name.starts_with(component + "-"); };
  return of("top") ? 1 : of("shoes") ? 3 : of("bottom") ? 4 : 0;
}

std::string to_json(const Vocabulary& vocabulary) {
  Json out = Json::array();
  for (const VocabularyEntry& e : vocabulary) {
    const auto form = std::find_if(kForms.begin(), kForms.end(), [&](const auto& f) { return f.second == e.form; });
    Json entry = {{"name", e.name}, {"form", form->first}, {"part", e.part}, {"first", e.first}};
    if (!e.words.empty()) entry["words"] = e.words;
    out.push_back(std::move(entry));
  }
  return out.dump();
}

Vocabulary vocabulary_from_json(const std::string& text, const std::string& file) {
  const auto reject = [&](const std::string& what) { throw Error(ErrorKind::kInput, fmt::format("{}: pack configuration: attributes: {}", file, what)); };
  const auto word = [&](const Json& json) {
    const std::string out = json.get<std::string>();
    if (!io::is_word(out)) reject("expected words of 1..64 letters a-z, digits, '-', '_' and '.'");
    return out;
  };
  const auto whole = [&](const Json& json, const char* name, int high) {
    if (!json.is_number_integer() || !(json.get<double>() >= 0 && json.get<double>() <= high)) reject(fmt::format("{} = {}; expected 0..{}", name, json.dump(), high));
    return json.get<int>();
  };
  Vocabulary out;
  try {
    const Json json = Json::parse(text);
    if (!json.is_array()) reject(fmt::format("expected a list, found {}", json.type_name()));
    for (const Json& entry : json) {
      VocabularyEntry e;
      e.name = word(entry.at("name"));
      const std::string form = entry.at("form").get<std::string>();
      const auto found = std::find_if(kForms.begin(), kForms.end(), [&](const auto& f) { return form == f.first; });
      if (found == kForms.end()) reject("form of '" + e.name + "'; expected kind, words, number or colour");
      e.form = found->second;
      e.part = whole(entry.at("part"), "part", kParts - 1);
      const bool has_words = e.form == Form::kKind || e.form == Form::kWords;
      if (has_words)
        for (const Json& one : entry.at("words")) e.words.push_back(word(one));
      if (has_words == e.words.empty()) reject("words of '" + e.name + "' are missing");
      const int taken = has_words ? static_cast<int>(e.words.size()) : e.form == Form::kColour ? 3 : 1;
      const int room = e.form == Form::kKind ? kWords : kValues;
      if (taken > room) reject(fmt::format("'{}' has {} words; expected 1..{}", e.name, taken, room));
      e.first = whole(entry.at("first"), "first", room - taken);
      out.push_back(std::move(e));
    }
  } catch (const Json::exception&) {
    reject("expected a list of name, form, part, first and words");
  }
  return out;
}

}  // namespace layeravatar::avatar
