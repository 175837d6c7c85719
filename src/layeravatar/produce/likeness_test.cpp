#include "layeravatar/produce/likeness.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"

namespace layeravatar::produce {
namespace {

using Form = avatar::VocabularyEntry::Form;

const avatar::Vocabulary kVocabulary = {{"bottom", Form::kKind, 4, 0, {"skirt", "jeans"}}, {"sex", Form::kWords, 0, 2, {"female", "male"}}, {"years", Form::kNumber, 0, 4, {}}, {"top-colour", Form::kColour, 1, 0, {}}};

TEST(Likeness, NamesBecomeWordsAndValues) {
  const diffusion::Condition c = condition_named(kVocabulary, "bottom=jeans,sex=male,years=60.5,top-color=#ff0080");
  EXPECT_EQ(c.words.sum().item<int>(), 1);
  EXPECT_TRUE(c.words[4][1].item<bool>());
  EXPECT_EQ(c.values.isnan().logical_not().sum().item<int>(), 6);
  EXPECT_EQ(c.values[0][2].item<float>(), 0.0F);
  EXPECT_EQ(c.values[0][3].item<float>(), 1.0F);
  EXPECT_EQ(c.values[0][4].item<float>(), 60.5F);
  EXPECT_EQ(c.values[1][0].item<float>(), 1.0F);
  EXPECT_EQ(c.values[1][1].item<float>(), 0.0F);
  EXPECT_NEAR(c.values[1][2].item<float>(), 128.0 / 255, 1e-6);
  EXPECT_EQ(condition_named(kVocabulary, "bottom=jeans,bottom=skirt").words.sum().item<int>(), 2);
}

TEST(Likeness, WhatCannotBeAskedForIsAnsweredWithWhatCan) {
  const auto message = [](const avatar::Vocabulary& vocabulary, const std::string& like) {
    try {
      condition_named(vocabulary, like);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kConfig);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({}, "sex=male"), "like: the pack knows no attributes of people");
  EXPECT_EQ(message(kVocabulary, "hat=fedora"), "like: attribute 'hat', must be one of bottom, sex, years, top-colour");
  EXPECT_EQ(message(kVocabulary, "bottom=kilt"), "like: bottom = kilt, must be one of skirt, jeans");
  EXPECT_EQ(message(kVocabulary, "bottom"), "like: 'bottom', must be name=value");
  EXPECT_EQ(message(kVocabulary, "years=old"), "like: years = old, must be a number");
  EXPECT_EQ(message(kVocabulary, "years=inf"), "like: years = inf, must be a number");
  EXPECT_EQ(message(kVocabulary, "sex=male,sex=female"), "like: sex is asked for twice");
  EXPECT_EQ(message(kVocabulary, "top-colour=mauve").substr(0, 40), "like: top-colour = mauve, must be black,");
}

TEST(Likeness, TheVocabularyIsDescribedLineByLine) {
  EXPECT_EQ(describe({kVocabulary[0], kVocabulary[2]}), "bottom: skirt, jeans\nyears: a number");
}

}  // namespace
}  // namespace layeravatar::produce
