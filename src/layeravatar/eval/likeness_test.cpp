#include "layeravatar/eval/likeness.h"

#include <gtest/gtest.h>
#include <torch/torch.h>


namespace layeravatar::eval {
namespace {

constexpr std::int64_t kSize = 100;

struct Person {
  torch::Tensor labels = torch::zeros({kSize, kSize}, torch::kUInt8), colours = torch::ones({3, kSize, kSize});

  void fill(std::int64_t y0, std::int64_t y1, std::int64_t x0, std::int64_t x1, int label, std::array<double, 3> colour) {
    labels.slice(0, y0, y1).slice(1, x0, x1).fill_(label);
    for (std::int64_t k = 0; k < 3; ++k) colours[k].slice(0, y0, y1).slice(1, x0, x1).fill_(colour[static_cast<std::size_t>(k)]);
  }
};

// A body from row 0 to 99, arms out to columns 10 and 89.
Person body() {
  Person p;
  p.fill(0, 100, 42, 58, 1, {0.8, 0.6, 0.5});
  p.fill(20, 26, 10, 90, 1, {0.8, 0.6, 0.5});
  return p;
}

Looks looks(const Person& p) { return looks_of(p.colours, p.labels, p.colours, p.labels); }

TEST(Likeness, ASkirtHangsTogetherAndShortsDoNot) {
  Person skirt = body();
  skirt.fill(50, 70, 38, 62, 5, {0.12, 0.15, 0.32});
  skirt.fill(85, 95, 42, 48, 5, {0.9, 0.9, 0.9});  // a sock
  const Looks own = looks(skirt);
  EXPECT_NEAR(own.bottom_end, 0.7, 0.02);
  EXPECT_EQ(own.legs_apart, 0);
  EXPECT_TRUE(*shows(own, "bottom", "skirt"));
  EXPECT_FALSE(*shows(own, "bottom", "shorts"));
  EXPECT_FALSE(*shows(own, "bottom", "jeans"));
  EXPECT_TRUE(*shows(own, "bottom-colour", "navy"));
  EXPECT_FALSE(*shows(own, "bottom-colour", "red"));
  Person shorts = body();
  shorts.fill(50, 60, 38, 62, 5, {0.5, 0.5, 0.5});
  shorts.fill(60, 70, 38, 46, 5, {0.5, 0.5, 0.5});
  shorts.fill(60, 70, 54, 62, 5, {0.5, 0.5, 0.5});
  EXPECT_TRUE(*shows(looks(shorts), "bottom", "shorts"));
  EXPECT_FALSE(*shows(looks(shorts), "bottom", "skirt"));
  Person jeans = body();
  jeans.fill(50, 95, 38, 62, 5, {0.2, 0.3, 0.6});
  EXPECT_TRUE(*shows(looks(jeans), "bottom", "jeans"));
  EXPECT_FALSE(*shows(looks(jeans), "bottom", "skirt"));
}

TEST(Likeness, LengthsOfTopsAndHair) {
  Person p = body();
  p.fill(18, 36, 40, 60, 2, {0.6, 0.15, 0.15});
  p.fill(20, 26, 30, 70, 2, {0.6, 0.15, 0.15});
  p.fill(0, 12, 40, 60, 3, {0.1, 0.1, 0.1});
  EXPECT_NEAR(looks(p).sleeves, 0.5, 0.02);
  EXPECT_TRUE(*shows(looks(p), "top", "t-shirt"));
  EXPECT_FALSE(*shows(looks(p), "top", "suit"));
  EXPECT_TRUE(*shows(looks(p), "hair", "short"));
  EXPECT_TRUE(*shows(looks(p), "top-colour", "red"));
  EXPECT_TRUE(*shows(looks(p), "hair-colour", "black"));
  p.fill(20, 26, 12, 88, 2, {0.6, 0.15, 0.15});
  p.fill(26, 50, 40, 60, 2, {0.6, 0.15, 0.15});
  p.fill(0, 25, 40, 60, 3, {0.1, 0.1, 0.1});
  EXPECT_TRUE(*shows(looks(p), "top", "suit"));
  EXPECT_FALSE(*shows(looks(p), "top", "short-sleeved"));
  EXPECT_TRUE(*shows(looks(p), "hair", "long"));
}

TEST(Likeness, WhatPicturesDoNotTellIsLeftOpen) {
  EXPECT_FALSE(shows(looks(body()), "sex", "female").has_value());
  EXPECT_FALSE(shows(looks(body()), "top", "male_elegantsuit01").has_value());
  EXPECT_FALSE(*shows(looks(body()), "top-colour", "red"));  // no top
}

TEST(Likeness, EveryUsualRequestIsTold) {
  for (const std::string& like : usual_requests())
    for (std::size_t from = 0; from < like.size();) {
      const std::size_t comma = std::min(like.find(',', from), like.size());
      const std::string one = like.substr(from, comma - from);
      EXPECT_TRUE(shows(looks(body()), one.substr(0, one.find('=')), one.substr(one.find('=') + 1)).has_value()) << one;
      from = comma + 1;
    }
}

}  // namespace
}  // namespace layeravatar::eval
