#include "layeravatar/prepare/check_dataset.h"

#include "layeravatar/data/scenes_for_test.h"
#include "layeravatar/prepare/views_for_test.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

using Check = ScanTest;

TEST_F(Check, SoundScenesAndEachFault) {
  for (const char* id : {"a", "b", "c", "d<e"}) data::write_small_scene(folder / id, 3);
  const fs::path b = folder / "b", c = folder / "c";
  fs::remove(b / "seg/000_001_1.png");
  fs::remove(b / "pose/000_002.json");
  fs::copy(b / "rgb/000_000.png", b / "rgb/999_000.png");
  write_file(c / "pose/000_000.json", R"({"cam_param": [2,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1]})");
  io::Image bad = io::read_png(c / "seg/000_001_0.png");
  bad.pixels[0] = 255;
  io::write_png(c / "seg/000_001_0.png", bad);
  fs::remove(c / "smplx/smplx_param.npy");
  CheckOptions options;
  options.thumbnails = 2;
  const auto rows = check_dataset(folder, options);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_TRUE(rows[0].problems.empty());
  EXPECT_EQ(rows[0].views, 3);
  EXPECT_EQ(rows[0].size, 16);
  EXPECT_EQ(rows[0].thumbnails.size(), 2U);
  EXPECT_EQ(rows[0].shares[2], 3.0 / (3 * 256));  // one pixel per view; the pictures are opaque
  EXPECT_EQ(rows[1].problems, (std::vector<std::string>{"expected 3 views, found 4", "view '000_002' has no pose file (000_002.json)",
                                                        "view '999_000' has no pose file (999_000.json)", "view '999_000' has no mask file (999_000_0.png)",
                                                        "view '000_001' has no mask file (000_001_1.png)", "view '999_000' has no mask file (999_000_1.png)"}));
  ASSERT_EQ(rows[2].problems.size(), 3U);
  EXPECT_NE(rows[2].problems[0].find("rotation is not orthonormal"), std::string::npos);
  EXPECT_NE(rows[2].problems[1].find("holds value 255; expected 0 or 1"), std::string::npos);
  EXPECT_NE(rows[2].problems[2].find("smplx_param.pkl: no such file"), std::string::npos);
  const std::string html = html_sheet("data", rows);
  EXPECT_NE(html.find("4 scenes, 2 with problems"), std::string::npos);
  EXPECT_NE(html.find("d&lt;e"), std::string::npos);
  EXPECT_EQ(html.find("d<e"), std::string::npos);
  EXPECT_NE(html.find("data:image/png;base64,iVBORw0KGgo"), std::string::npos);
  EXPECT_NE(text_table(rows).find("ok"), std::string::npos);
}

TEST_F(Check, NoScenes) { EXPECT_EQ(said(ErrorKind::kInput, [&] { (void)check_dataset(folder, {}); }), folder.string() + ": no scenes (folders with rgb/)"); }

}  // namespace
}  // namespace layeravatar::prepare
