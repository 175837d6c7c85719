#include "layeravatar/produce/opening.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <fstream>

#include "layeravatar/core/error.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/produce/settler.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::produce {
namespace {

namespace fs = std::filesystem;

const fs::path kPack = fs::path(LAV_GOLDEN_DIR) / "../../models/default.safetensors";

avatar::Avatar one_avatar(const Studio& studio) {
  SamplingOptions options;
  options.steps = 1;
  return sample_avatars(studio, {7}, usual_sampling(studio, options)).at(0);
}

// What is begun elsewhere leads to the same bits as what is not.
TEST(Opening, IsTakenOnWith) {
  Opening begun(kPack, "fp32");
  const Studio with = open_studio(kPack, &begun), without = open_studio(kPack);
  for (const Studio* s : {&with, &without}) set_precision(*s, "fp32");
  EXPECT_NE(with.tables, nullptr);
  EXPECT_EQ(without.tables, nullptr);
  const auto nodes = with.deformer->volume().nodes(), own = without.deformer->volume().nodes();
  EXPECT_TRUE(std::equal(nodes.begin(), nodes.end(), own.begin(), own.end()));
  const avatar::Avatar a = one_avatar(with), b = one_avatar(without);
  EXPECT_TRUE(torch::equal(a.planes, b.planes));
  EXPECT_EQ(a.betas, b.betas);
}

// The precision that was guessed need not be the one that is wanted, and parameters may change.
TEST(Opening, WeightsArePackedAnewWhereTheyDoNotFit) {
  Opening begun(kPack, "bf16");
  const Studio s = open_studio(kPack, &begun), plain = open_studio(kPack);
  for (const Studio* one : {&s, &plain}) set_precision(*one, "fp32");
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = noise_of(s, 3).unsqueeze(0), t = torch::full({1}, 500, torch::kInt64);
  const torch::Tensor first = s.engine->forward(x, t);
  EXPECT_TRUE(torch::equal(first, plain.engine->forward(x, t)));
  s.unet->named_parameters()["out.conv.bias"].add_(1);
  EXPECT_FALSE(torch::equal(first, s.engine->forward(x, t)));
}

TEST(Opening, IsLeftWhereItIsOfAnotherFileOrUsedUp) {
  Opening begun(kPack, "auto");
  EXPECT_EQ(open_studio(kPack.lexically_normal(), &begun).tables, nullptr);
  EXPECT_TRUE(begun.take().has_value());
  EXPECT_FALSE(begun.take().has_value());
  EXPECT_EQ(open_studio(kPack, &begun).tables, nullptr);
}

TEST(Opening, OfABrokenFileSaysNothingItself) {
  const fs::path folder = fs::path(::testing::TempDir()) / "layeravatar_opening";
  fs::create_directories(folder);
  const fs::path missing = folder / "missing.safetensors", text = folder / "text.safetensors", half = folder / "half.safetensors";
  std::ofstream(text) << "not a pack";
  fs::copy_file(kPack, half, fs::copy_options::overwrite_existing);
  fs::resize_file(half, fs::file_size(half) / 2);
  for (const fs::path& file : {missing, text, half}) {
    Opening begun(file, "auto");
    try {
      open_studio(file, &begun);
      ADD_FAILURE() << file;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_EQ(std::string(e.what()).rfind(file.string(), 0), 0U) << e.what();
    }
  }
  EXPECT_FALSE(Opening(kPack, "half").take().has_value());
  fs::remove_all(folder);
}

}  // namespace
}  // namespace layeravatar::produce
