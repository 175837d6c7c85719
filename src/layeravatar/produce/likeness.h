// What is asked for of a sample, in words.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/avatar/vocabulary.h"
#include "layeravatar/diffusion/prior_attributes.h"

namespace layeravatar::produce {

/// "bottom=skirt,top-colour=red,years=60": attributes of the pack's vocabulary with a word, a number, or a colour's name or #rrggbb; "color" is "colour". An attribute
/// that tells kinds may come several times: all its words are asked for. Throws Error(kConfig), with what there is: a pack without attributes, an unknown name, word or colour,
/// a number that is none, an attribute twice.
diffusion::Condition condition_named(const avatar::Vocabulary& vocabulary, const std::string& like);

/// The names and values of such a text, as they stand there. Throws Error(kConfig) for one without '='.
std::vector<std::pair<std::string, std::string>> requests_in(const std::string& like);

/// "top: shirt, t-shirt" and so on, a line each.
std::string describe(const avatar::Vocabulary& vocabulary);

}  // namespace layeravatar::produce
