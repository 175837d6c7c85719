#include "layeravatar/train/people_attributes.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <random>

#include "layeravatar/train/trainer.h"

namespace layeravatar::train {
namespace {

using Words = std::vector<std::string>;
using Form = avatar::VocabularyEntry::Form;

const std::vector<io::Attributes> kPeople = {
    {{"top", Words{"a01", "shirt"}}, {"sex", Words{"female"}}, {"years", 30.0}, {"top-colour", std::array<double, 3>{0.1, 0.2, 0.3}}},
    {{"top", Words{"a02", "shirt"}}, {"sex", Words{"male"}}, {"years", 40.0}},
    {{"top", Words{"a01", "shirt"}}, {"sex", Words{"female"}}, {"mood", 1.0}, {"hat", Words{"one-of-a-kind"}}},
    {{"sex", Words{"male"}}, {"mood", Words{"glad"}}}};

const avatar::VocabularyEntry* entry(const avatar::Vocabulary& all, const std::string& name) {
  for (const auto& e : all)
    if (e.name == name) return &e;
  return nullptr;
}

TEST(PeopleAttributes, TheVocabularyIsWhatPeopleShare) {
  const avatar::Vocabulary all = make_vocabulary(kPeople);
  ASSERT_NE(entry(all, "top"), nullptr);
  EXPECT_EQ(entry(all, "top")->form, Form::kKind);
  EXPECT_EQ(entry(all, "top")->words, (Words{"a01", "shirt"}));  // a02 has one person alone
  EXPECT_EQ(entry(all, "sex")->form, Form::kWords);
  EXPECT_EQ(entry(all, "sex")->words, (Words{"female", "male"}));
  EXPECT_EQ(entry(all, "years")->form, Form::kNumber);
  EXPECT_EQ(entry(all, "years")->first, 2);
  EXPECT_EQ(entry(all, "top-colour")->part, 1);
  EXPECT_EQ(entry(all, "mood"), nullptr);  // a number of one, a word of another
  EXPECT_EQ(entry(all, "hat"), nullptr);
  EXPECT_TRUE(make_vocabulary({{}, {}}).empty());
}

TEST(PeopleAttributes, PeopleBecomeKindsWordsAndValues) {
  const avatar::Vocabulary all = make_vocabulary(kPeople);
  const diffusion::PeopleAttributes out = people_attributes(all, kPeople);
  EXPECT_TRUE(torch::equal(out.kinds[1], torch::tensor({0, 1, 0, -1}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(out.kinds[0], torch::full({4}, -1, torch::kInt64)));
  const auto first = entry(all, "top")->first;
  EXPECT_TRUE(torch::equal(out.words[1].select(1, first + 1), torch::tensor({true, true, true, false})));
  EXPECT_TRUE(torch::equal(out.words[1].select(1, first), torch::tensor({true, false, true, false})));
  EXPECT_EQ(out.values[0][1][entry(all, "years")->first].item<float>(), 40.0F);
  EXPECT_TRUE(out.values[0][3][entry(all, "years")->first].isnan().item<bool>());
  EXPECT_EQ(out.values[0][2][entry(all, "sex")->first].item<float>(), 1.0F);
  EXPECT_FLOAT_EQ(out.values[1][0][entry(all, "top-colour")->first + 2].item<float>(), 0.3F);
  const diffusion::Condition one = condition_of(all, kPeople[0]);
  EXPECT_TRUE(torch::equal(one.words[1], out.words[1][0]));
  EXPECT_TRUE(torch::equal(one.values[0].nan_to_num(-9), out.values[0][0].nan_to_num(-9)));
}

TEST(DrawCondition, TellsSomethingOrNothing) {
  const avatar::Vocabulary all = make_vocabulary(kPeople);
  const diffusion::Condition known = condition_of(all, kPeople[0]);
  const std::vector<const diffusion::Condition*> parts(5, &known);
  std::mt19937_64 engine(4);
  int open = 0, words = 0, values = 0;
  constexpr int kDraws = 400;
  for (int i = 0; i < kDraws; ++i) {
    const diffusion::Condition c = draw_condition(parts, 0.2, engine);
    const int said = c.words.sum().item<int>();
    const bool numbers = c.values.isnan().logical_not().any().item<bool>();
    EXPECT_LE(said, 1);
    EXPECT_EQ(c.words.logical_and(known.words).sum().item<int>(), said);
    open += said == 0 && !numbers ? 1 : 0, words += said, values += numbers ? 1 : 0;
  }
  EXPECT_NEAR(words, kDraws * 0.8 / 4, 25);
  EXPECT_GT(open, kDraws / 5);
  EXPECT_GT(values, kDraws / 5);
  EXPECT_EQ(draw_condition(parts, 1, engine).words.sum().item<int>(), 0);
}

}  // namespace
}  // namespace layeravatar::train
