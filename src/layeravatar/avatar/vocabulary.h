// What can be asked for in words of a pack's samples. No LibTorch.
#pragma once
#include <string>
#include <vector>

namespace layeravatar::avatar {

/// One attribute of people and where the mixture prior (diffusion/prior_attributes.h) has it.
struct VocabularyEntry {
  enum class Form {
    kKind,    // words, that tell the classes of its part apart: "top"
    kWords,   // words with a value for each, 1 for who has it, else 0: "sex"
    kNumber,  // a value: "years"
    kColour   // three values, RGB in 0..1: "top-colour"
  };
  std::string name;
  Form form = Form::kWords;
  int part = 0;                    // of the prior: 0 body and hair, 1 top, 3 shoes, 4 bottom
  int first = 0;                   // of its words among the part's (kKind), or of its values
  std::vector<std::string> words;  // kKind and kWords, each once
};
using Vocabulary = std::vector<VocabularyEntry>;

/// "top", "top-colour" -> 1, "shoes..." -> 3, "bottom..." -> 4, all others 0.
int part_of_attribute(const std::string& name);
/// A JSON list.
std::string to_json(const Vocabulary& vocabulary);
/// Throws Error(kInput) "<file>: pack configuration: ...": another form, a place beyond the prior's, words that are not 1..64 of a-z, 0-9, '-', '_' and '.'.
Vocabulary vocabulary_from_json(const std::string& text, const std::string& file);

}  // namespace layeravatar::avatar
