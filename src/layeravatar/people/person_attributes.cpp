#include "layeravatar/people/person_attributes.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

using Words = std::vector<std::string>;

// What a suit's upper and lower part, shoes and hair are (spec/cc0_people.md sections 1.5 and 4).
const std::map<std::string, Words> kTops = {
    {"female_casualsuit01", {"t-shirt", "short-sleeved"}},   {"female_casualsuit02", {"t-shirt", "short-sleeved"}}, {"female_elegantsuit01", {"shirt", "long-sleeved", "striped"}},
    {"female_sportsuit01", {"sports-top", "short-sleeved"}}, {"male_casualsuit01", {"shirt", "long-sleeved"}},      {"male_casualsuit02", {"sweater", "long-sleeved"}},
    {"male_casualsuit03", {"shirt", "long-sleeved", "striped"}}, {"male_casualsuit04", {"t-shirt", "short-sleeved"}}, {"male_casualsuit05", {"jacket", "long-sleeved"}},
    {"male_casualsuit06", {"t-shirt", "short-sleeved"}},     {"male_elegantsuit01", {"suit", "long-sleeved"}}};
const std::map<std::string, Words> kBottoms = {
    {"female_casualsuit01", {"jeans"}}, {"female_casualsuit02", {"shorts"}}, {"female_elegantsuit01", {"skirt"}}, {"female_sportsuit01", {"leggings"}},
    {"male_casualsuit01", {"jeans"}},   {"male_casualsuit02", {"jeans"}},    {"male_casualsuit03", {"jeans"}},    {"male_casualsuit04", {"jeans"}},
    {"male_casualsuit05", {"jeans"}},   {"male_casualsuit06", {"jeans"}},    {"male_elegantsuit01", {"trousers"}}};
const std::map<std::string, Words> kShoes = {{"shoes01", {}}, {"shoes02", {}}, {"shoes03", {}}, {"shoes04", {}}, {"shoes05", {}}, {"shoes06", {}}};
const std::map<std::string, Words> kHair = {{"afro01", {"afro"}},       {"bob01", {"bob"}},     {"bob02", {"bob"}},     {"Braid01", {"braid", "long"}}, {"long01", {"long"}},
                                            {"ponytail01", {"ponytail"}}, {"short01", {"short"}}, {"short02", {"short"}}, {"short03", {"short"}},          {"short04", {"short"}}};

Words words_of(const std::map<std::string, Words>& all, const std::string& asset) {
  Words out{asset};
  std::transform(asset.begin(), asset.end(), out[0].begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = all.find(asset);
  LAV_CHECK(found != all.end(), "an asset of the allow-list");
  out.insert(out.end(), found->second.begin(), found->second.end());
  return out;
}

}  // namespace

io::Attributes attributes_of(const PersonLook& look) {
  const PersonChoice& c = look.choice;
  const auto third = [](double x, double low, double high, const char* below, const char* above) { return Words{x < low ? below : x > high ? above : "average"}; };
  return {{"sex", Words{c.shape.gender < 0.5 ? "female" : "male"}},
          {"age", Words{c.shape.age < 0.64 ? "young" : c.shape.age < 0.8 ? "middle-aged" : "old"}},
          {"years", 25 + (c.shape.age - 0.5) * 130},  // 0.5 is 25 years, 1 is 90
          {"build", third(c.shape.weight, 0.4, 0.6, "slim", "heavy")},
          {"stature", third(c.shape.height, 0.46, 0.54, "short", "tall")},
          {"top", words_of(kTops, c.top)},
          {"bottom", words_of(kBottoms, c.bottom)},
          {"shoes", words_of(kShoes, c.shoes)},
          {"hair", words_of(kHair, c.hair)}};
}

}  // namespace layeravatar::people
