#include "layeravatar/io/attributes.h"

#include <gtest/gtest.h>

#include "layeravatar/core/error.h"

namespace layeravatar::io {
namespace {

TEST(Attributes, GoRound) {
  const std::map<std::string, Attributes> people = {
      {"0000001", {{"sex", std::vector<std::string>{"female"}}, {"top", std::vector<std::string>{"shirt01", "shirt"}}, {"years", 34.25}}},
      {"0000002", {{"hair-colour", std::array<double, 3>{0.5, 0.25, 0.125}}}}};
  EXPECT_EQ(parse_attributes(format_attributes(people), "f"), people);
  EXPECT_TRUE(parse_attributes(format_attributes({}), "f").empty());
}

TEST(Attributes, BadFilesAreRefusedInOneLine) {
  const auto message = [](const std::string& text) {
    try {
      parse_attributes(text, "f");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(message("{\"a\": {"), "f: not valid JSON");
  EXPECT_EQ(message("[1]"), "f: expected an object of scenes, found array");
  EXPECT_EQ(message("{\"a\": 1}"), "f: scene \"a\": expected an object, found number");
  EXPECT_EQ(message("{\"a\": {\"sex\": {}}}"), "f: scene \"a\": sex: expected a number, a word, words or three numbers, found object");
  EXPECT_EQ(message("{\"a\": {\"top\": \"a=b\"}}"), "f: scene \"a\": top: \"a=b\"; expected 1..64 letters a-z, digits, '-', '_' and '.'");
  EXPECT_EQ(message("{\"a\": {\"c\": [0.5, 2, 0]}}"), "f: scene \"a\": c: colour 2; expected numbers in 0..1");
  EXPECT_EQ(message("{\"a\": {\"c\": [\"b\", 2]}}"), "f: scene \"a\": c: expected a number, a word, words or three numbers, found array");
  EXPECT_FALSE(message("{\"a\": {\"" + std::string(100, 'x') + "\": 1}}").empty());
}

}  // namespace
}  // namespace layeravatar::io
