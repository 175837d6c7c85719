// A dataset's attributes as its prior takes them.
#pragma once
#include <vector>

#include "layeravatar/avatar/vocabulary.h"
#include "layeravatar/diffusion/prior_attributes.h"
#include "layeravatar/io/attributes.h"

namespace layeravatar::train {

/// Everything that at least two people have and in which they differ. Words of "top", "bottom", "shoes" and "hair" tell kinds, the first one of each person the class; all
/// words that at least two people have can be asked for. Where an attribute has no room left in the prior it is left out.
avatar::Vocabulary make_vocabulary(const std::vector<io::Attributes>& people);

/// Of people in the order given.
diffusion::PeopleAttributes people_attributes(const avatar::Vocabulary& vocabulary, const std::vector<io::Attributes>& people);

/// What a person has, asked for as a whole: to train with. A kind's words are those that `person` has in the vocabulary.
diffusion::Condition condition_of(const avatar::Vocabulary& vocabulary, const io::Attributes& person);

}  // namespace layeravatar::train
