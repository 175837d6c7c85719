// What is known of the people of a dataset beside pictures: attributes.json. No LibTorch.
#pragma once
#include <array>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace layeravatar::io {

/// A number; words, such as {"shirt", "striped"}; or a colour, RGB in 0..1.
using Attribute = std::variant<double, std::vector<std::string>, std::array<double, 3>>;
/// By name: "sex", "top", "hair-colour".
using Attributes = std::map<std::string, Attribute>;

/// What the mean colours of labels 1..5 are called.
inline constexpr std::array<const char*, 5> kColourAttributes = {"skin-colour", "top-colour", "hair-colour", "shoes-colour", "bottom-colour"};

/// Whether a name or word is 1..64 of a-z, 0-9, '-', '_' and '.'.
bool is_word(const std::string& text);

/// {"<scene>": {"<name>": 34.5 or "word" or ["word", ...] or [r, g, b], ...}, ...}. Names and words are 1..64 of a-z, 0-9, '-', '_' and '.'.
/// Throws Error(kInput) that begins with `file`.
std::map<std::string, Attributes> parse_attributes(const std::string& text, const std::string& file);
/// The inverse, one scene a line.
std::string format_attributes(const std::map<std::string, Attributes>& scenes);

}  // namespace layeravatar::io
