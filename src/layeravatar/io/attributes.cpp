#include "layeravatar/io/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxWord = 64;

// Any text as one of printable characters.
std::string quoted(const std::string& text) { return Json(text.substr(0, kMaxWord)).dump(-1, ' ', true, Json::error_handler_t::replace); }

[[noreturn]] void reject(const std::string& file, const std::string& what) { throw Error(ErrorKind::kInput, file + ": " + what); }

void expect_word(const std::string& word, const std::string& file, const std::string& where) {
  if (!is_word(word)) reject(file, fmt::format("{}: {}; expected 1..{} letters a-z, digits, '-', '_' and '.'", where, quoted(word), kMaxWord));
}

Attribute value_of(const Json& json, const std::string& file, const std::string& where) {
  if (json.is_number()) return json.get<double>();
  if (json.is_array() && json.size() == 3 && std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_number(); })) {
    std::array<double, 3> colour{};
    for (std::size_t k = 0; k < 3; ++k) {
      colour[k] = json[k].get<double>();
      if (!(colour[k] >= 0 && colour[k] <= 1)) reject(file, fmt::format("{}: colour {}; expected numbers in 0..1", where, colour[k]));
    }
    return colour;
  }
  std::vector<std::string> words;
  if (json.is_string()) words.push_back(json.get<std::string>());
  else if (json.is_array() && !json.empty() && std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_string(); }))
    words = json.get<std::vector<std::string>>();
  else reject(file, fmt::format("{}: expected a number, a word, words or three numbers, found {}", where, json.type_name()));
  for (const std::string& word : words) expect_word(word, file, where);
  return words;
}

}  // namespace

bool is_word(const std::string& text) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= kMaxWord && std::all_of(text.begin(), text.end(), good);
}

std::map<std::string, Attributes> parse_attributes(const std::string& text, const std::string& file) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) reject(file, "not valid JSON");
  if (!json.is_object()) reject(file, fmt::format("expected an object of scenes, found {}", json.type_name()));
  std::map<std::string, Attributes> out;
  for (const auto& [scene, entries] : json.items()) {
    const std::string where = "scene " + quoted(scene);
    if (!entries.is_object()) reject(file, fmt::format("{}: expected an object, found {}", where, entries.type_name()));
    Attributes& own = out[scene];
    for (const auto& [name, value] : entries.items()) {
      expect_word(name, file, where);
      own[name] = value_of(value, file, where + ": " + name);
    }
  }
  return out;
}

std::string format_attributes(const std::map<std::string, Attributes>& scenes) {
  std::string out = "{";
  for (const auto& [scene, attributes] : scenes) {
    Json line = Json::object();
    for (const auto& [name, value] : attributes)
      std::visit([&, &key = name](const auto& x) {
        line[key] = x;
        if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::vector<std::string>>)
          if (x.size() == 1) line[key] = x[0];
      }, value);
    out += (out.size() > 1 ? ",\n" : "\n") + Json(scene).dump() + ": " + line.dump();
  }
  return out + "\n}\n";
}

}  // namespace layeravatar::io
