#include "layeravatar/prepare/build_dataset.h"

#include <nlohmann/json.hpp>

#include "layeravatar/data/dataset.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/prepare/segment_views.h"
#include "layeravatar/prepare/split_dataset.h"
#include "layeravatar/prepare/views_for_test.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

class Build : public ScanTest {
 protected:
  // Views, masks from classes, and unified parameters of one scan.
  void write_scan(const std::string& id) const {
    const fs::path scan = write_small_views(folder / "scans", id, 3);
    for (const auto& name : find_views(scan).names) {
      const auto file = scan / "18views_3_wbg/mask" / (name + "_seg.npy");
      make_folder(file.parent_path());
      io::write_npy(file, io::make_array<std::int64_t>({16, 16}, std::vector<std::int64_t>(256, 22)));
    }
    (void)segment_views(scan, {});
    body::PoseParams params = body::default_viewing_pose();
    params.left_hand[4] = 0.25F;
    params.scale = 1;
    write_file(scan / "smplx_param.pkl", format_unified(params));
  }
  [[nodiscard]] BuildOptions unified() const {
    BuildOptions out;
    out.views = folder / "scans";
    out.output = folder / "data";
    out.set = scan::ScanSet::kPlain;
    return out;
  }
};

TEST_F(Build, TrainingLayoutThatTheLoaderReads) {
  write_scan("0000");
  write_scan("0001");
  EXPECT_EQ(build_dataset(unified()).built, (std::vector<fs::path>{folder / "data/0000", folder / "data/0001"}));
  EXPECT_EQ(build_dataset(unified()).kept.size(), 2U);
  data::DatasetOptions options;
  options.image_size = 16;
  const auto dataset = data::Dataset::open(folder / "data", options);
  ASSERT_EQ(dataset.scenes().size(), 2U);
  EXPECT_EQ(dataset.scenes()[1].views.size(), 3U);
  EXPECT_EQ(dataset.scenes()[1].params.left_hand[4], 0.25F);
  const auto& view = dataset.scenes()[0].views[0];
  EXPECT_EQ(view.width, 8);
  EXPECT_EQ(view.labels[0], 2);
}

// Each set's fits lie where it has them, beside the folder of the scans, and become what the release's scripts wrote for them.
struct Layout {
  scan::ScanSet set;
  const char *key, *id, *fit;  // of the recorded conversion; the scan's; below the folder that holds the scans' folder
};

class BuildFromFits : public Build, public ::testing::WithParamInterface<Layout> {};

TEST_P(BuildFromFits, GivesTheRecordedPickle) {
  const auto [set, key, id, fit] = GetParam();
  write_scan(id);
  write_scan("0525");
  io::ArrayMap arrays;
  nlohmann::json json;
  for (const auto& [name, array] : io::read_npz(golden / "body/i_smplx_format.npz"))
    if (const std::string start = std::string(key) + ".in."; name.starts_with(start)) {
      arrays[name.substr(start.size())] = array;
      json[name.substr(start.size())] = io::to_floats(array);
    }
  make_folder((folder / fit).parent_path());
  write_file(folder / fit, (folder / fit).extension() == ".json" ? json.dump() : io::format_pickle_arrays(arrays));
  BuildOptions options = unified();
  options.set = set;
  EXPECT_NE(said(ErrorKind::kConfig, [&] { (void)build_dataset(options); }).find("give --body"), std::string::npos);
  options.body = golden / "body/SMPLX_NEUTRAL.npz";
  options.report = folder / "report";
  const auto report = build_dataset(options);
  ASSERT_EQ(report.built, std::vector<fs::path>{folder / "data" / id}) << report.failed[0].second;
  EXPECT_EQ(report.failed.size(), set == scan::ScanSet::kThuman21 ? 0U : 1U) << "THuman2.1 begins at 0526";
  EXPECT_EQ(report.alignment.size(), 1U);
  EXPECT_TRUE(fs::exists(folder / "report" / (std::string(id) + ".png")));
  EXPECT_TRUE(fs::exists(folder / "data" / id / "smplx" / (folder / fit).filename()));
  const auto found = io::read_pickle(folder / "data" / id / "smplx/smplx_param.pkl");
  const auto want = io::read_pickle(golden / "io" / (std::string(key) + "_smplx_param.pkl"));
  for (const char* name : {"betas", "global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "expression"}) {
    EXPECT_EQ(found.find(name).array().shape, want.find(name).array().shape) << name;
    EXPECT_EQ(io::to_floats(found.find(name).array()), io::to_floats(want.find(name).array())) << name;
  }
  EXPECT_EQ(found.find("left_hand_pose").array().shape, want.find("left_hand_pose").array().shape) << "the values are those of another hand model";
}

INSTANTIATE_TEST_SUITE_P(Sets, BuildFromFits,
                         ::testing::Values(Layout{scan::ScanSet::kThuman20, "t20", "0000", "THUman20_Smpl-X/0000/smplx_param_refine.pkl"},
                                           Layout{scan::ScanSet::kThuman21, "t21", "0526", "smplx/0526/smplx_param.pkl"},
                                           Layout{scan::ScanSet::kCustomHumans, "ch", "0000_00034", "smplx/0000_00034/mesh-f00034_refine.json"}),
                         [](const auto& layout) { return layout.param.key; });

TEST_F(Build, TwelveNumbersOfAHandNeedTheModel) {
  write_scan("0000");
  BuildOptions options = unified();
  options.set = scan::ScanSet::kThuman20;
  options.fits = folder / "fits";
  options.absolute_hands = true;
  make_folder(folder / "fits/0000");
  fs::copy(golden / "io/t20_smplx_param_refine.pkl", folder / "fits/0000/smplx_param_refine.pkl");
  const auto twelve = build_dataset(options);
  ASSERT_EQ(twelve.failed.size(), 1U);
  EXPECT_NE(twelve.failed[0].second.find("'left_hand_pose' has 12 numbers"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "data/0000"));
}

TEST_F(Build, ScenesThatWereSplitAreBuiltAnewInTheirPlace) {
  write_scan("0000");
  write_scan("0001");
  (void)build_dataset(unified());
  const auto list = data::parse_split_list("0001\n", "l");
  split_dataset(folder / "data", plan_split(folder / "data", list, "l"));
  fs::remove(folder / "data/human_train/0001/rgb/000_000.png");
  EXPECT_EQ(build_dataset(unified()).kept.size(), 2U);
  BuildOptions again = unified();
  again.replace = true;
  EXPECT_EQ(build_dataset(again).built, (std::vector<fs::path>{folder / "data/human_novel/0000", folder / "data/human_train/0001"}));
  EXPECT_TRUE(fs::exists(folder / "data/human_train/0001/rgb/000_000.png"));
  EXPECT_EQ(plan_split(folder / "data", list, "l").settled, 2) << "nothing lies in two places";
}

TEST_F(Build, SceneWithoutMasksFailsAlone) {
  write_scan("0000");
  write_small_views(folder / "scans", "0001", 1);
  const auto report = build_dataset(unified());
  EXPECT_EQ(report.built, std::vector<fs::path>{folder / "data/0000"});
  ASSERT_EQ(report.failed.size(), 1U);
  EXPECT_NE(report.failed[0].second.find("view '000_000' has no mask file; run segment first"), std::string::npos);
}

TEST_F(Build, SplitIsIdempotentAndLeavesTheRest) {
  for (const char* id : {"0000", "0001", "0002"}) make_folder(folder / "data" / id / "rgb");
  make_folder(folder / "data/notes");
  const auto list = data::parse_split_list("0001\n0009\n", "list.txt");
  const auto plan = plan_split(folder / "data", list, "list.txt");
  EXPECT_EQ(plan.train, std::vector<std::string>{"0001"});
  EXPECT_EQ(plan.novel, (std::vector<std::string>{"0000", "0002"}));
  EXPECT_EQ(plan.warnings, std::vector<std::string>{"list.txt: id '0009' listed but not present"});
  EXPECT_TRUE(fs::exists(folder / "data/0001"));  // planning moves nothing
  split_dataset(folder / "data", plan);
  EXPECT_TRUE(fs::exists(folder / "data/human_train/0001/rgb"));
  EXPECT_TRUE(fs::exists(folder / "data/human_novel/0002/rgb"));
  EXPECT_TRUE(fs::exists(folder / "data/notes"));
  const auto again = plan_split(folder / "data", list, "list.txt");
  EXPECT_TRUE(again.train.empty() && again.novel.empty());
  EXPECT_EQ(again.settled, 3);
  split_dataset(folder / "data", plan_split(folder / "data", data::parse_split_list("0000\n", "l"), "l"));  // another list moves both ways
  EXPECT_TRUE(fs::exists(folder / "data/human_train/0000/rgb"));
  EXPECT_TRUE(fs::exists(folder / "data/human_novel/0001/rgb"));
}

}  // namespace
}  // namespace layeravatar::prepare
