// What a random person is and wears, in words and numbers.
#pragma once
#include "layeravatar/io/attributes.h"
#include "layeravatar/people/person_look.h"

namespace layeravatar::people {

/// sex, age and years, build, stature; top, bottom, shoes, hair: the asset's name first, then what it is. Colours are not among them: pictures tell those.
io::Attributes attributes_of(const PersonLook& look);

}  // namespace layeravatar::people
