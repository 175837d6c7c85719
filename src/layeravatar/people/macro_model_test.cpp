#include "layeravatar/people/macro_model.h"

#include <gtest/gtest.h>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {

double total(const std::map<std::string, double>& weights, const std::string& folder) {
  double sum = 0;
  for (const auto& [name, weight] : weights)
    if (name.starts_with(folder) && name.find('/', folder.size()) == std::string::npos) sum += weight;
  return sum;
}

TEST(MacroModel, AYoungManOfOneRaceIsOneTargetPerFile) {
  MacroParams p;
  p.gender = 1;
  p.race = {0, 0, 2};  // normalised
  const auto w = macro_target_weights(p);
  EXPECT_DOUBLE_EQ(w.at("macrodetails/caucasian-male-young"), 1);
  EXPECT_DOUBLE_EQ(w.at("macrodetails/universal-male-young-averagemuscle-averageweight"), 1);
  EXPECT_EQ(w.count("macrodetails/caucasian-female-young"), 0u);
  EXPECT_DOUBLE_EQ(total(w, "breast/"), 0);
}

TEST(MacroModel, WeightsAreProductsOfTheFactorsInTheName) {
  MacroParams p;
  p.gender = 0.25;
  p.age = 0.75;     // half old
  p.muscle = 0.75;  // half max
  p.weight = 0.25;  // half min
  p.height = 0.6;   // 0.2 max
  const auto w = macro_target_weights(p);
  // 0.75 female * 0.5 old * 0.5 maxmuscle * 0.5 minweight * 0.2 maxheight
  EXPECT_NEAR(w.at("macrodetails/height/female-old-maxmuscle-minweight-maxheight"), 0.01875, 1e-12);
  EXPECT_NEAR(total(w, "macrodetails/"), 2, 1e-12);  // race part and universal part, each a partition of one
}

TEST(MacroModel, TheCorruptTargetOfTrapBIsNeverNamed) {
  MacroParams p;
  p.gender = 0;
  p.age = 1;
  p.muscle = p.weight = 0;
  p.cup = 1;
  const auto w = macro_target_weights(p);
  EXPECT_EQ(w.count("breast/female-old-minmuscle-minweight-maxcup-averagefirmness"), 0u);
  p.firmness = 1;
  EXPECT_DOUBLE_EQ(macro_target_weights(p).at("breast/female-old-minmuscle-minweight-maxcup-maxfirmness"), 1);
}

TEST(MacroModel, OnlyAdults) {
  MacroParams p;
  p.age = 0.3;
  try {
    (void)macro_target_weights(p);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kConfig);
    EXPECT_NE(std::string(e.what()).find("people.age = 0.3"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace layeravatar::people
