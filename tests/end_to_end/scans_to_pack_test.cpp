// From people to a pack by the program's own commands, small: exported as scans, rendered, segmented by a network that knows their
// paint, built into a training set, checked, split, trained on.
#include <gtest/gtest.h>
#include <torch/script.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/data/dataset.h"
#include "layeravatar/data/render_person.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/safetensors.h"
#include "layeravatar/people/painted_body_for_test.h"
#include "layeravatar/scan/person_scan.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar {
namespace {

namespace fs = std::filesystem;

constexpr int kSize = 128, kPeople = 3;

// The class whose paint has the most similar shares of red, green and blue.
void write_network(const fs::path& file) {
  torch::jit::Module module("paint");
  auto paint = torch::zeros({1, 6, 3, 1, 1});
  for (int l = 0; l < 6; ++l)
    for (int k = 0; k < 3; ++k) paint[0][l][k] = people::kPaint[static_cast<std::size_t>(l)][static_cast<std::size_t>(k)];
  module.register_buffer("paint", paint / paint.sum(2, true));
  module.register_buffer("classes", torch::tensor({0, 21, 22, 3, 8, 12}, torch::kInt64));  // of the labels
  module.register_buffer("mean", torch::tensor({123.5F, 116.5F, 103.5F}).view({1, 3, 1, 1}));
  module.register_buffer("deviation", torch::tensor({58.5F, 57.0F, 57.5F}).view({1, 3, 1, 1}));
  module.define(R"(
def forward(self, x):
    colour = x * self.deviation + self.mean + 1.0
    share = colour / colour.sum(1, keepdim=True)
    distance = (share.unsqueeze(1) - self.paint).abs().sum(2)
    logits = torch.full([x.size(0), 28, x.size(2), x.size(3)], -9.0)
    return logits.index_copy(1, self.classes, 0.0 - distance)
)");
  module.save(file.string());
}

// Stands in for Inception: the features are the red of four pixels.
void write_features(const fs::path& file) {
  torch::jit::Module module("features");
  module.define(R"(
def forward(self, x, return_features: bool = False):
    return x[:, 0, 60:64, 64].float()
)");
  module.save(file.string());
}

class ScansToPack : public testing::FolderTest {
 protected:
  // The exit code; standard output and error come to `said`.
  int run(const std::string& arguments) {
    const fs::path log = folder / "said";
    const int code = std::system(("cd '" + folder.string() + "' && " LAV_PROGRAM " " + arguments + " >said 2>&1").c_str());
    said = read_file(log);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
  }
  std::string said;
};

TEST_F(ScansToPack, EveryStepOfTheWay) {
  people::write_cc0_body(folder / "body.npz", people::body_for_test());
  std::vector<people::DressedPerson> people;
  for (int i = 0; i < kPeople; ++i) {
    people.push_back(people::painted_body(static_cast<std::uint64_t>(i)));
    scan::write_person_scan(folder, std::to_string(i), people.back(), scan::ScanSet::kThuman20, nullptr);
  }
  ASSERT_EQ(run("render-scans THuman2.0_Release --body body.npz -o views --size 128"), 0) << said;
  EXPECT_EQ(said.find("warning"), std::string::npos) << said;
  write_network(folder / "paint.pt");
  ASSERT_EQ(run("segment views --network paint.pt --net-height 128 --net-width 128"), 0) << said;
  ASSERT_EQ(run("dataset build views --source thuman2.0 --fits THUman20_Smpl-X --body body.npz --absolute-hands --report report -o data"), 0) << said;
  EXPECT_EQ(said.find("bodies that are not"), std::string::npos) << said;
  fs::create_directories(folder / "swapped/0");
  fs::create_directories(folder / "one");
  fs::rename(folder / "views/0", folder / "one/0");
  fs::copy(folder / "data/1/smplx/smplx_param.pkl", folder / "swapped/0");
  ASSERT_EQ(run("dataset build one --source plain --fits swapped --body body.npz -o wrong"), 0) << said;
  EXPECT_NE(said.find("bodies that are not where the pictures show them, 1 of 1: 0"), std::string::npos) << said;
  ASSERT_EQ(run("dataset check data --views 54 --size 128 -o sheet.html --json"), 0) << said;
  EXPECT_EQ(nlohmann::json::parse(said).size(), 3U);
  EXPECT_NE(read_file(folder / "sheet.html").find("3 scenes, 0 with problems."), std::string::npos);
  const auto alignment = nlohmann::json::parse(read_file(folder / "report/alignment.json"));
  EXPECT_EQ(alignment.at("scenes").size(), 3U);
  for (const auto& [id, scene] : alignment.at("scenes").items()) EXPECT_GT(scene.at("silhouette_iou").get<double>(), 0.95) << id << ": nothing is worn";
  write_file(folder / "train.txt", "0\n1\n");
  ASSERT_EQ(run("dataset split data --list train.txt"), 0) << said;
  EXPECT_TRUE(fs::exists(folder / "data/human_novel/2/rgb"));

  write_features(folder / "features.pt");
  ASSERT_EQ(run("dataset stats data/human_train --inception features.pt -o stats"), 0) << said;
  EXPECT_EQ(io::read_npz(folder / "stats.npz").at("size").count(), 1U);
  EXPECT_EQ(io::read_npz(folder / "stats.npz").at("mean").count(), 4U);

  // What training reads is what the exact route, which needs no scan and no network, gives: pictures, masks, bodies.
  const auto dataset = data::Dataset::open(folder / "data/human_train", {});
  ASSERT_EQ(dataset.scenes().size(), 2U);
  std::array<double, 6> both{}, any{};
  double difference = 0, far = 0, pixels = 0;
  const auto cameras = geometry::training_cameras(kSize);
  for (std::size_t s = 0; s < 2; ++s) {
    people::DressedPerson& person = people[s];
    for (auto& p : person.mesh.vertices)
      for (std::size_t k = 0; k < 3; ++k) p[k] += body::kCanonicalOffset[k] - person.params.transl[k];
    person.params.transl = body::kCanonicalOffset;
    person.params.scale = dataset.scenes()[s].params.scale;  // the scan's unit, which nobody reads
    EXPECT_EQ(dataset.scenes()[s].params, person.params);
    const data::PersonRenderer renderer(person.mesh);
    ASSERT_EQ(dataset.scenes()[s].views.size(), cameras.size());
    for (std::size_t v = 0; v < cameras.size(); ++v) {
      const data::RenderedView exact = renderer.view(cameras[v].camera);
      std::vector<float> colours(3 * kSize * kSize);
      std::vector<std::uint8_t> labels(kSize * kSize);
      data::expand_view(dataset.scenes()[s].views[v], kSize, colours.data(), labels.data());
      for (std::size_t p = 0; p < labels.size(); ++p) {
        double worst = 0;
        for (std::size_t k = 0; k < 3; ++k) {
          const double d = std::abs(255.0 * static_cast<double>(colours[k * labels.size() + p]) - exact.colour.pixels[4 * p + k]);
          worst = std::max(worst, d), difference += d / 3;
        }
        far += worst > 8 ? 1 : 0;
        ++pixels;
        ++any[labels[p]];
        if (labels[p] == exact.labels[p]) ++both[labels[p]];
        else ++any[exact.labels[p]];
      }
    }
  }
  EXPECT_LE(difference / pixels, 1);
  EXPECT_LE(far / pixels, 0.005);
  for (std::size_t l = 1; l < 6; ++l) EXPECT_GT(both[l] / any[l], 0.75) << "label " << l;  // 0.79 and more: colours mix where two labels meet in a pixel

  write_file(folder / "run.toml",
             "dataset = \"data/human_train\"\niterations = 200\nplanes-height = 16\nviews-per-scene = 2\nunet-base-channels = 16\n"
             "unet-channel-factors = [0.5, 1]\nunet-attention = [8]\nwarmup = 20\nlog-every = 10\ncheckpoint-every = 200\npreview-every = 0\n"
             "[[stage]]\nfrom = 0\nimage-size = 32\nextra-scene-step = 0\n");
  ASSERT_EQ(run("--threads 1 train --config run.toml --body body.npz --run run"), 0) << said;  // tests run beside each other
  std::vector<double> loss;
  std::istringstream log(read_file(folder / "run/log.txt"));
  for (std::string line; std::getline(log, line);)
    if (const auto at = line.find(" loss_decoder "); at != std::string::npos) loss.push_back(std::stod(line.substr(at + 14)));
  ASSERT_EQ(loss.size(), 20U);
  EXPECT_LT(loss.back(), 0.65 * loss.front());  // 0.96 to 0.48
  std::size_t codes = 0;
  for (const auto& [name, array] : io::read_safetensors(folder / "run/checkpoints/iter_00000200/codes.safetensors").tensors) {
    if (!name.ends_with(".code")) continue;
    ++codes;
    for (const float x : io::to_floats(array)) ASSERT_TRUE(std::isfinite(x)) << name;
  }
  EXPECT_EQ(codes, 2U);
  EXPECT_EQ(run("generate --model run/pack.safetensors --count 1 --steps 2 --views 1 --no-panels -o sample"), 0) << said;
}

}  // namespace
}  // namespace layeravatar
