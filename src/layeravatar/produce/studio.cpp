#include "layeravatar/produce/studio.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "layeravatar/avatar/compose.h"
#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/precision.h"
#include "layeravatar/io/label_colours.h"
#include "layeravatar/nn/named_tensors.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {

Studio make_studio(avatar::ModelPack pack, const std::string& file, std::shared_ptr<diffusion::PackedUNet> packed) {
  Studio s;
  s.config = pack.config;
  s.pack_hash = pack.hash;
  s.sampler = std::make_shared<avatar::MapSampler>(pack.layers.uvs);
  s.tables = std::move(pack.tables);
  s.deformer = std::make_shared<deform::Deformer>(std::move(pack.body), std::move(pack.layers), std::move(pack.volume));
  s.betas = pack.betas;
  s.activation = pack.activation;
  s.decoder = std::make_shared<avatar::Decoder>();
  nn::load_named_tensors(*s.decoder, pack.decoder, file + ": decoder");
  s.decoder->eval();
  for (torch::Tensor& p : s.decoder->parameters()) p.requires_grad_(false);
  if (!pack.unet.empty()) {
    diffusion::UNetConfig unet;
    unet.image_size = {pack.config.planes_height, 3 * pack.config.planes_height};
    unet.base_channels = pack.config.unet_base_channels;
    unet.channel_factors = pack.config.unet_channel_factors;
    unet.resblocks = pack.config.unet_resblocks;
    unet.heads = pack.config.unet_heads;
    unet.attention_res = pack.config.unet_attention;
    unet.prior_rank = pack.config.unet_prior_rank;
    unet.prior_attributes = !pack.config.attributes.empty();
    s.unet = std::make_shared<diffusion::UNet>(unet, diffusion::Fill::kNone);
    nn::share_named_tensors(*s.unet, pack.unet, file + ": denoiser");
    if (s.unet->prior() != nullptr) s.unet->prior()->check(file + ": denoiser");
    s.unet->eval();
    s.engine = std::make_shared<diffusion::UNetEngine>(s.unet, std::move(packed));
  }
  return s;
}

void set_precision(const Studio& s, const std::string& name) {
  const diffusion::Precision wanted = precision_of(s.config, name);
  if (s.unet) s.unet->set_precision(wanted);
}

Studio open_studio(const std::filesystem::path& pack_file, Opening* begun) {
  std::optional<Opening::Result> ready;
  if (begun != nullptr && begun->pack_file() == pack_file) ready = begun->take();
  if (!ready) return make_studio(avatar::read_pack(pack_file), pack_file.string());
  return make_studio(avatar::read_pack(std::move(ready->pack)), pack_file.string(), std::move(ready->denoiser));
}

avatar::GaussianAttributes decode(const Studio& s, const torch::Tensor& planes) {
  const torch::NoGradGuard no_grad;
  return avatar::attributes_from_samples(s.sampler->sample(s.decoder->attribute_map(planes.unsqueeze(0)))[0]);
}

splat::Gaussians pose(const Studio& s, const avatar::GaussianAttributes& attributes, const std::array<float, 10>& betas, body::PoseParams params) {
  const torch::NoGradGuard no_grad;
  params.betas = betas;
  return s.deformer->pose(attributes, s.deformer->prepare(params));
}

avatar::GaussianAttributes compose(const Studio& s, const avatar::Avatar& base, const Wardrobe& donors) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> samples;
  for (const avatar::Avatar* a : {&base, donors.top, donors.bottom, donors.hair, donors.shoes}) {
    const torch::Tensor& planes = a != nullptr ? a->planes : base.planes;
    samples.push_back(s.sampler->sample(s.decoder->attribute_map(planes.unsqueeze(0)))[0]);
  }
  const torch::Tensor stack = torch::stack(samples);
  const avatar::Composer composer(s.deformer->layers());
  const torch::Tensor out = s.config.profile == "official"
                                ? composer.compose_official(stack)
                                : composer.compose_default(stack, {donors.top != nullptr, donors.bottom != nullptr, donors.hair != nullptr, donors.shoes != nullptr});
  return avatar::attributes_from_samples(out);
}

splat::RenderOutputs render_view(const splat::Gaussians& gaussians, const geometry::Camera& camera, bool components, bool empty_is_black) {
  const torch::NoGradGuard no_grad;
  splat::RenderOptions options;
  options.components = components;
  options.reference_empty = empty_is_black;
  return splat::render(gaussians, camera, options);
}

torch::Tensor label_map(const splat::RenderOutputs& o) {
  const auto [best, which] = o.component_weights.max(0);
  (void)best;
  return (torch::where(o.alpha >= 0.5, which + 1, torch::zeros_like(which))).to(torch::kUInt8);
}

io::Image panels(const splat::RenderOutputs& o) {
  std::vector<torch::Tensor> parts = {o.full};
  for (int c = 0; c < 5; ++c) parts.push_back(o.components[c]);
  torch::Tensor palette = torch::empty({6, 3});
  for (std::int64_t label = 0; label < 6; ++label)
    for (std::int64_t k = 0; k < 3; ++k)
      palette[label][k] = io::kLabelColours[static_cast<std::size_t>(label)][static_cast<std::size_t>(k)] / 255.0F;
  const torch::Tensor labels = label_map(o).to(torch::kInt64);
  parts.push_back(palette.index_select(0, labels.flatten()).reshape({labels.size(0), labels.size(1), 3}).permute({2, 0, 1}));
  return picture_row(parts);
}

io::Image tile(const std::vector<io::Image>& images, int columns) {
  LAV_CHECK(!images.empty() && columns > 0, "a grid needs pictures");
  const int w = images[0].width, h = images[0].height, rows = (static_cast<int>(images.size()) + columns - 1) / columns;
  io::Image out{columns * w, rows * h, 3, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * columns * w) * static_cast<std::size_t>(rows * h), 255)};
  for (std::size_t i = 0; i < images.size(); ++i) {
    LAV_CHECK(images[i].width == w && images[i].height == h && images[i].channels == 3, "pictures of one size");
    const auto x0 = static_cast<std::size_t>(static_cast<int>(i) % columns * w), y0 = static_cast<std::size_t>(static_cast<int>(i) / columns * h);
    for (int y = 0; y < h; ++y)
      std::copy_n(images[i].pixels.begin() + static_cast<long>(3 * y) * w, 3 * w,
                  out.pixels.begin() + static_cast<long>(3 * ((y0 + static_cast<std::size_t>(y)) * static_cast<std::size_t>(out.width) + x0)));
  }
  return out;
}

}  // namespace layeravatar::produce
