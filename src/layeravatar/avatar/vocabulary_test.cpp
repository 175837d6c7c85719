#include "layeravatar/avatar/vocabulary.h"

#include <gtest/gtest.h>

#include "layeravatar/avatar/pack_config.h"
#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

using Form = VocabularyEntry::Form;

TEST(Vocabulary, GoesRoundWithThePacksSettings) {
  PackConfig config;
  EXPECT_EQ(config.to_json().find("attributes"), std::string::npos);
  config.attributes = {{"top", Form::kKind, 1, 0, {"shirt", "t-shirt"}}, {"sex", Form::kWords, 0, 4, {"female", "male"}}, {"years", Form::kNumber, 0, 6, {}}, {"top-colour", Form::kColour, 1, 0, {}}};
  const PackConfig again = PackConfig::from_json(config.to_json(), "f");
  ASSERT_EQ(again.attributes.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(again.attributes[i].name, config.attributes[i].name);
    EXPECT_EQ(again.attributes[i].form, config.attributes[i].form);
    EXPECT_EQ(again.attributes[i].part, config.attributes[i].part);
    EXPECT_EQ(again.attributes[i].first, config.attributes[i].first);
    EXPECT_EQ(again.attributes[i].words, config.attributes[i].words);
  }
}

TEST(Vocabulary, AttributesGoWithTheirComponent) {
  EXPECT_EQ(part_of_attribute("top"), 1);
  EXPECT_EQ(part_of_attribute("top-colour"), 1);
  EXPECT_EQ(part_of_attribute("shoes"), 3);
  EXPECT_EQ(part_of_attribute("bottom-colour"), 4);
  for (const char* name : {"topology", "hair", "hair-colour", "sex", "skin-colour"}) EXPECT_EQ(part_of_attribute(name), 0) << name;
}

TEST(Vocabulary, WhatDoesNotFitThePriorIsRefused) {
  const auto message = [](const std::string& entry) {
    try {
      vocabulary_from_json("[" + entry + "]", "f");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(message(R"({"name":"a","form":"number","part":0,"first":23})"), "");
  EXPECT_EQ(message(R"({"name":"a","form":"number","part":0,"first":24})"), "f: pack configuration: attributes: first = 24; expected 0..23");
  EXPECT_EQ(message(R"({"name":"a","form":"colour","part":0,"first":22})"), "f: pack configuration: attributes: first = 22; expected 0..21");
  EXPECT_EQ(message(R"({"name":"a","form":"number","part":5,"first":0})"), "f: pack configuration: attributes: part = 5; expected 0..4");
  EXPECT_EQ(message(R"({"name":"a","form":"number","part":-1,"first":0})"), "f: pack configuration: attributes: part = -1; expected 0..4");
  EXPECT_EQ(message(R"({"name":"a","form":"number","part":1e300,"first":0})"), "f: pack configuration: attributes: part = 1e+300; expected 0..4");
  EXPECT_EQ(message(R"({"name":"a","form":"texts","part":0,"first":0})"), "f: pack configuration: attributes: form of 'a'; expected kind, words, number or colour");
  EXPECT_EQ(message(R"({"name":"a","form":"words","part":0,"first":0,"words":[]})"), "f: pack configuration: attributes: words of 'a' are missing");
  EXPECT_EQ(message(R"({"name":"A b","form":"number","part":0,"first":0})"), "f: pack configuration: attributes: expected words of 1..64 letters a-z, digits, '-', '_' and '.'");
  EXPECT_EQ(message(R"({"name":"a","form":"words","part":0,"first":0})"), "f: pack configuration: attributes: expected a list of name, form, part, first and words");
  EXPECT_EQ(message("3"), "f: pack configuration: attributes: expected a list of name, form, part, first and words");
}

}  // namespace
}  // namespace layeravatar::avatar
