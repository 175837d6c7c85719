#include "layeravatar/data/part_labels.h"

#include <gtest/gtest.h>

#include "layeravatar/core/error.h"
#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/data/split_list.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::data {
namespace {

namespace fs = std::filesystem;

using PartFiles = FolderTest;

TEST(PartLabels, ClassMapOfSection17) {
  const std::vector<int> want = {0, 3, 1, 3, 1, 1, 1, 1, 4, 4, 1, 1, 5, 1, 1, 1, 1, 4, 4, 1, 1, 1, 2, 1, 1, 1, 1, 1};
  for (std::size_t id = 0; id < want.size(); ++id) EXPECT_EQ(label_of_class(static_cast<std::int64_t>(id)), want[id]) << id;
  EXPECT_EQ(label_of_class(28), 0);
  EXPECT_EQ(label_of_class(-1), 0);
}

TEST_F(PartFiles, ReadsClassesOfEveryWholeType) {
  const fs::path file = folder / "000_000_seg.npy";
  io::write_npy(file, io::make_array<std::int64_t>({2, 2}, std::vector<std::int64_t>{0, 22, 12, 3}));
  EXPECT_EQ(read_part_classes(file, 2).labels, (std::vector<std::uint8_t>{0, 2, 5, 3}));
  EXPECT_TRUE(read_part_classes(file, 2).warnings.empty());
  io::write_npy(file, io::make_array<std::uint8_t>({2, 2}, std::vector<std::uint8_t>{255, 28, 9, 1}));
  const PartLabels found = read_part_classes(file, 2);
  EXPECT_EQ(found.labels, (std::vector<std::uint8_t>{0, 0, 4, 3}));
  EXPECT_EQ(found.warnings, std::vector<std::string>{file.string() + ": 2 pixels have class ids above 27"});
}

TEST_F(PartFiles, RefusesOtherArrays) {
  const fs::path file = folder / "a_seg.npy";
  const auto read_error = [&] { return message_of(ErrorKind::kInput, [&] { (void)read_part_classes(file, 2); }); };
  io::write_npy(file, io::make_array<std::int64_t>({4}, std::vector<std::int64_t>{0, 22, 12, 3}));
  EXPECT_EQ(read_error(), file.string() + ": expected (2, 2) integers, found (4,)");
  io::write_npy(file, io::make_array<float>({2, 2}, std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(read_error(), file.string() + ": expected (2, 2) integers, found (2, 2) real numbers");
}

TEST(PartLabels, OutsideTheSilhouetteIsBackground) {
  std::vector<std::uint8_t> labels = {1, 2, 3, 4};
  io::Image picture{2, 2, 4, std::vector<std::uint8_t>(16, 255)};
  picture.pixels[3] = 0;
  picture.pixels[7] = 1;
  cut_to_silhouette(labels, picture, "view.png");
  EXPECT_EQ(labels, (std::vector<std::uint8_t>{0, 2, 3, 4}));
  const auto error = [&] { return message_of(ErrorKind::kInput, [&] { cut_to_silhouette(labels, picture, "view.png"); }); };
  picture = {2, 1, 4, std::vector<std::uint8_t>(8, 255)};
  EXPECT_EQ(error(), "view.png: expected 2x2, found 2x1");
  picture = {2, 2, 3, std::vector<std::uint8_t>(12, 255)};
  EXPECT_EQ(error(), "view.png: image has no alpha channel; cannot find the silhouette");
}

TEST_F(PartFiles, SplitLists) {
  const SplitList list = parse_split_list("0001\r\n0526\n0001\n0004_00007_02_00001", "list.txt");
  EXPECT_EQ(list.ids, (std::vector<std::string>{"0001", "0526", "0004_00007_02_00001"}));
  EXPECT_EQ(list.warnings, std::vector<std::string>{"list.txt: id '0001' listed twice"});
  fs::create_directories(folder / "0526");
  EXPECT_EQ(missing_scenes(list, folder, "list.txt"),
            (std::vector<std::string>{"list.txt: id '0001' listed but not present", "list.txt: id '0004_00007_02_00001' listed but not present"}));
  EXPECT_TRUE(parse_split_list("", "list.txt").ids.empty());
}

TEST(SplitList, RefusesEmptyAndForeignIds) {
  const auto error = [](std::string_view text) { return message_of(ErrorKind::kInput, [&] { (void)parse_split_list(text, "list.txt"); }); };
  EXPECT_EQ(error("0001\n\n0002\n"), "list.txt: line 2: empty id");
  EXPECT_EQ(error("0001\n \t\n"), "list.txt: line 2: empty id");
  EXPECT_EQ(error("../etc\n"), "list.txt: line 1: id '../etc'; expected a name of a folder");
  EXPECT_EQ(error(".."), "list.txt: line 1: id '..'; expected a name of a folder");
}

}  // namespace
}  // namespace layeravatar::data
