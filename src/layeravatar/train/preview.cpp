#include "layeravatar/train/preview.h"

#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::train {
namespace {

constexpr std::int64_t kScenes = 4;
constexpr std::int64_t kSamples = 4;
constexpr int kColumns = 7;  // target, full, five components
constexpr int kSteps = 20;
constexpr std::uint64_t kNoiseSeed = 2021;

splat::Gaussians posed(const Scaffold& scaffold, const Learned& learned, const torch::Tensor& planes,
                       const body::PoseParams& params) {
  const torch::Tensor map = learned.decoder_ema->attribute_map(planes.unsqueeze(0));
  const auto attributes = avatar::attributes_from_samples(scaffold.sampler->sample(map)[0]);
  return scaffold.deformer->pose(attributes, scaffold.deformer->prepare(params));
}

torch::Tensor sample_planes(const Scaffold& scaffold, const Learned& learned, std::int64_t rows) {
  auto generator = at::detail::createCPUGenerator(kNoiseSeed);
  const auto options = torch::TensorOptions().dtype(torch::kFloat32);
  const torch::Tensor noise = torch::randn({kSamples, avatar::kPlaneChannels, rows, 3 * rows}, generator, options);
  diffusion::SampleOptions sampling;
  sampling.steps = kSteps;
  const diffusion::Denoiser denoiser = [&](const torch::Tensor& x, std::int64_t t) {
    return learned.unet_ema->forward(x, torch::full({x.size(0)}, t, torch::kInt64));
  };
  return diffusion::sample_ddim(denoiser, scaffold.schedule, noise, sampling);
}

}  // namespace

io::Image preview(const Scaffold& scaffold, const Learned& learned, const CodeCache& codes, SceneSource& source,
                  const TrainConfig& config, std::int64_t iteration) {
  const torch::NoGradGuard no_grad;
  const Stage& stage = config.stage_at(iteration);
  const std::int64_t scenes = std::min(codes.size(), kScenes);
  std::vector<io::Image> cells;
  for (std::int64_t i = 0; i < scenes; ++i) {
    const std::int64_t scene = i * codes.size() / scenes;
    const SceneBatch batch = source.load(scene, 0, stage.image_size);
    const torch::Tensor planes = learned.activation.forward(codes.code(scene));
    const splat::Gaussians gaussians = posed(scaffold, learned, planes, batch.params);
    const auto outputs = produce::render_view(gaussians, batch.cameras.at(0), true);
    cells.push_back(produce::picture(batch.images[0]));
    cells.push_back(produce::picture(outputs.full));
    for (int c = 0; c < kColumns - 2; ++c) cells.push_back(produce::picture(outputs.components[c]));
  }
  if (stage.diffusion) {
    const geometry::Camera front = geometry::turntable_cameras(cells[0].width)[0];
    const torch::Tensor planes = sample_planes(scaffold, learned, config.planes_height);
    for (std::int64_t i = 0; i < kSamples; ++i) {
      const splat::Gaussians gaussians = posed(scaffold, learned, planes[i], body::default_viewing_pose());
      cells.push_back(produce::picture(produce::render_view(gaussians, front, false).full));
    }
  }
  return produce::tile(cells, kColumns);
}

}  // namespace layeravatar::train
