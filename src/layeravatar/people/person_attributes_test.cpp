#include "layeravatar/people/person_attributes.h"

#include <gtest/gtest.h>

#include <set>

namespace layeravatar::people {
namespace {

std::vector<std::string> words(const io::Attributes& all, const std::string& name) { return std::get<std::vector<std::string>>(all.at(name)); }

TEST(PersonAttributes, EveryRandomPersonHasThem) {
  std::set<std::string> sexes, bottoms;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    PersonLook look;
    look.choice = sample_person(seed);
    const io::Attributes own = attributes_of(look);
    EXPECT_EQ(words(own, "sex"), std::vector<std::string>{look.choice.shape.gender < 0.5 ? "female" : "male"});
    sexes.insert(words(own, "sex")[0]);
    EXPECT_GE(words(own, "top").size(), 3U);
    bottoms.insert(words(own, "bottom").at(1));
    EXPECT_GE(std::get<double>(own.at("years")), 25);
    EXPECT_LE(std::get<double>(own.at("years")), 77.1);
    EXPECT_EQ(io::parse_attributes(io::format_attributes({{"p", own}}), "f").at("p"), own);
  }
  EXPECT_EQ(sexes.size(), 2U);
  EXPECT_EQ(bottoms, (std::set<std::string>{"jeans", "leggings", "shorts", "skirt", "trousers"}));
}

TEST(PersonAttributes, WordsFollowTheChoice) {
  PersonLook look;
  look.choice = sample_person(1);
  look.choice.shape.age = 0.85;
  look.choice.shape.weight = 0.3;
  look.choice.shape.height = 0.58;
  look.choice.hair = "Braid01";
  const io::Attributes own = attributes_of(look);
  EXPECT_EQ(words(own, "age"), std::vector<std::string>{"old"});
  EXPECT_DOUBLE_EQ(std::get<double>(own.at("years")), 70.5);
  EXPECT_EQ(words(own, "build"), std::vector<std::string>{"slim"});
  EXPECT_EQ(words(own, "stature"), std::vector<std::string>{"tall"});
  EXPECT_EQ(words(own, "hair"), (std::vector<std::string>{"braid01", "braid", "long"}));
}

}  // namespace
}  // namespace layeravatar::people
