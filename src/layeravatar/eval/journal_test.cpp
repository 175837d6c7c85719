#include "layeravatar/eval/journal.h"

#include <torch/torch.h>

#include <cmath>
#include <fstream>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::eval {
namespace {

using JournalTest = testing::FolderTest;
using Numbers = std::vector<double>;

TEST_F(JournalTest, GoesOnAfterALineThatWasCutShort) {
  int made = 0;
  const auto make = [&] { return Numbers{0.1, static_cast<double>(++made)}; };
  {
    Journal journal(folder / "j", {{"pack", "a"}});
    EXPECT_EQ(journal.once("x/1", make), (Numbers{0.1, 1}));
    journal.record("odd", {1.0 / 0.0, 2});
  }
  std::ofstream(folder / "j/journal.jsonl", std::ios::app) << "{\"x/2\":[3";
  Journal again(folder / "j", {{"pack", "a"}});
  EXPECT_EQ(again.records().size(), 2U);
  EXPECT_EQ(again.once("x/1", make), (Numbers{0.1, 1})) << "to the last bit, not made again";
  EXPECT_FALSE(again.find("x/2").has_value());
  EXPECT_TRUE(std::isnan(again.find("odd")->at(0)));
  EXPECT_EQ(again.once("x/2", make).at(1), 2);
  EXPECT_EQ(Journal(folder / "j", {}).records().size(), 3U) << "the cut line did not swallow the next";
}

TEST_F(JournalTest, AnotherOriginIsRefusedAndAFurtherOneIsKept) {
  { const Journal journal(folder / "j", {{"pack", "a"}, {"stride", "8"}}); }
  { const Journal journal(folder / "j", {{"pack", "a"}, {"stride", "8"}, {"inception", "c"}}); }
  const auto open = [&](const std::map<std::string, std::string>& origin) {
    return testing::message_of(ErrorKind::kConfig, [&] { const Journal journal(folder / "j", origin); });
  };
  EXPECT_NE(open({{"stride", "4"}}).find("made with stride = 8, now 4; give another folder"), std::string::npos);
  EXPECT_NE(open({{"inception", "d"}}).find("inception = c"), std::string::npos);
  EXPECT_EQ(open({{"pack", "a"}}), "");
  EXPECT_NE(open({{"inception", "d"}}).find("inception = c"), std::string::npos) << "what one call does not name is not forgotten";
  write_file(folder / "j/journal.jsonl", "{\"a\":[1]}\nrubbish\n");
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { const Journal journal(folder / "j", {}); }).find("journal.jsonl: line 2"), std::string::npos);
}

TEST_F(JournalTest, FeaturesThatNoRecordKnowsAreCutOff) {
  const torch::Tensor first = torch::arange(6, torch::kFloat32).reshape({2, 3}), second = first + 10;
  {
    Journal journal(folder / "j", {});
    FeatureRows rows(journal, "real");
    FeatureRows others(journal, "really");
    EXPECT_EQ(rows.rows().size(0), 0);
    rows.add("a", first);
    others.add("a", second);
    EXPECT_TRUE(rows.has("a"));
    EXPECT_FALSE(rows.has("b"));
    EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { rows.add("b", torch::zeros({1, 4})); }).find("expected 3 features, found 4"), std::string::npos);
  }
  std::ofstream(folder / "j/real.f32", std::ios::app) << "half a row";
  {
    Journal journal(folder / "j", {});
    FeatureRows rows(journal, "real");
    EXPECT_EQ(rows.count(), 2);
    rows.add("b", second);
    EXPECT_TRUE(torch::equal(rows.rows(), torch::cat({first, second})));
    EXPECT_TRUE(torch::equal(FeatureRows(journal, "really").rows(), second));
  }
  std::filesystem::resize_file(folder / "j/real.f32", 12);
  Journal journal(folder / "j", {});
  EXPECT_NE(testing::message_of(ErrorKind::kInput, [&] { const FeatureRows rows(journal, "real"); }).find("real.f32: expected 48 bytes, found 12"), std::string::npos);
}

}  // namespace
}  // namespace layeravatar::eval
