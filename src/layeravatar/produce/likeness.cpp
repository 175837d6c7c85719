#include "layeravatar/produce/likeness.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/torch.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/mixture_prior.h"
#include "layeravatar/io/colour_names.h"

namespace layeravatar::produce {
namespace {

using Form = avatar::VocabularyEntry::Form;

[[noreturn]] void reject(const std::string& what) { throw Error(ErrorKind::kConfig, "like: " + what); }

double number_of(const std::string& name, const std::string& text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(out)) reject(fmt::format("{} = {}, must be a number", name, text));
  return out;
}

}  // namespace

diffusion::Condition condition_named(const avatar::Vocabulary& vocabulary, const std::string& like) {
  if (vocabulary.empty()) reject("the pack knows no attributes of people");
  diffusion::Condition out = diffusion::no_condition(diffusion::MixturePrior::kParts);
  std::set<std::string> seen;
  for (auto [name, value] : requests_in(like)) {
    if (name.ends_with("-color")) name.replace(name.size() - 5, 5, "colour");
    const auto entry = std::find_if(vocabulary.begin(), vocabulary.end(), [&](const auto& e) { return e.name == name; });
    if (entry == vocabulary.end()) {
      std::vector<std::string> names;
      for (const auto& e : vocabulary) names.push_back(e.name);
      reject(fmt::format("attribute '{}', must be one of {}", name, fmt::join(names, ", ")));
    }
    if (!seen.insert(name).second && entry->form != Form::kKind) reject(fmt::format("{} is asked for twice", name));
    const torch::Tensor values = out.values[entry->part], words = out.words[entry->part];
    if (entry->form == Form::kNumber) {
      values[entry->first] = number_of(name, value);
    } else if (entry->form == Form::kColour) {
      const auto colour = io::named_colour(value);
      if (!colour) reject(fmt::format("{} = {}, must be {} or #rrggbb", name, value, fmt::join(io::colour_names(), ", ")));
      for (std::size_t c = 0; c < 3; ++c) values[entry->first + static_cast<std::int64_t>(c)] = (*colour)[c];
    } else {
      const auto word = std::find(entry->words.begin(), entry->words.end(), value);
      if (word == entry->words.end()) reject(fmt::format("{} = {}, must be one of {}", name, value, fmt::join(entry->words, ", ")));
      const auto at = static_cast<std::int64_t>(word - entry->words.begin());
      if (entry->form == Form::kKind) words[entry->first + at] = true;
      else
        for (std::int64_t w = 0; w < static_cast<std::int64_t>(entry->words.size()); ++w) values[entry->first + w] = w == at ? 1.0 : 0.0;
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> requests_in(const std::string& like) {
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t from = 0; from <= like.size();) {
    const std::size_t comma = std::min(like.find(',', from), like.size());
    const std::string one = like.substr(from, comma - from);
    const auto equals = one.find('=');
    if (equals == std::string::npos) reject(fmt::format("'{}', must be name=value", one));
    out.emplace_back(one.substr(0, equals), one.substr(equals + 1));
    from = comma + 1;
  }
  return out;
}

std::string describe(const avatar::Vocabulary& vocabulary) {
  std::string out;
  for (const auto& e : vocabulary) {
    if (!out.empty()) out += "\n";
    const std::string what = e.form == Form::kNumber ? "a number" : e.form == Form::kColour ? fmt::format("{} or #rrggbb", fmt::join(io::colour_names(), ", ")) : fmt::format("{}", fmt::join(e.words, ", "));
    out += e.name + ": " + what;
  }
  return out;
}

}  // namespace layeravatar::produce
