#include "layeravatar/train/export_pack.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "layeravatar/core/error.h"
#include "layeravatar/nn/named_tensors.h"

namespace layeravatar::train {

avatar::ModelPack make_pack(const Trainer& trainer, const std::vector<body::PoseParams>& people, int image_size) {
  LAV_CHECK(static_cast<std::int64_t>(people.size()) == trainer.scene_count(), "one row of parameters per scene");
  constexpr double kRidge = 0.02;  // of the mean squared length of the centred features
  avatar::ModelPack pack;
  const TrainConfig& c = trainer.config();
  pack.config.profile = c.profile;
  pack.config.image_size = image_size;
  pack.config.planes_height = c.planes_height;
  pack.config.unet_base_channels = c.unet_base_channels;
  pack.config.unet_channel_factors = c.unet_channel_factors;
  pack.config.unet_resblocks = 2;
  pack.config.unet_attention = c.unet_attention;
  pack.config.unet_prior_rank = c.unet_prior_rank;
  pack.config.attributes = trainer.vocabulary();
  pack.config.provenance = fmt::format("trained for {} iterations on {} people", trainer.iteration(), people.size());
  pack.layers = trainer.scaffold().deformer->layers();
  pack.body = trainer.scaffold().deformer->body();
  pack.decoder = nn::named_tensors(*trainer.learned().decoder_ema);
  pack.unet = nn::named_tensors(*trainer.learned().unet_ema);
  pack.activation = trainer.learned().activation;
  torch::Tensor betas = torch::empty({trainer.scene_count(), 10});
  const torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> planes = trainer.planes();
  for (std::int64_t i = 0; i < trainer.scene_count(); ++i)
    for (std::int64_t k = 0; k < 10; ++k) betas[i][k] = people[static_cast<std::size_t>(i)].betas[static_cast<std::size_t>(k)];
  pack.betas = avatar::BetasRegression::fit(planes, betas, kRidge);
  return pack;
}

}  // namespace layeravatar::train
