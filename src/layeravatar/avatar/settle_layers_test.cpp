#include "layeravatar/avatar/settle_layers.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "layeravatar/avatar/attributes.h"
#include "layeravatar/avatar/template_for_test.h"

namespace layeravatar::avatar {
namespace {

constexpr std::int64_t kHeight = 16;

struct Drawn {
  templates::LayeredTemplate layers = small_template();
  LayerOrder order{layers};
  MapSampler sampler{layers.uvs};
  Decoder decoder;
  torch::Tensor planes;

  Drawn() {
    torch::manual_seed(5);
    decoder = Decoder();
    decoder.eval();
    const torch::NoGradGuard no_grad;
    decoder.named_parameters()["offset_net.0.weight"].normal_(0, 0.1);
    decoder.named_parameters()["density_net.0.weight"].normal_(0, 0.5);
    planes = torch::randn({12, kHeight, 3 * kHeight}).clamp(-1, 1);
  }
  GaussianAttributes decode(const torch::Tensor& of) {
    const torch::NoGradGuard no_grad;
    return attributes_from_samples(sampler.sample(decoder.attribute_map(of.unsqueeze(0)))[0]);
  }
  double disorder(const torch::Tensor& of) {
    const GaussianAttributes attributes = decode(of);
    return order.loss(attributes.offset, attributes.opacity).item<double>();
  }
};

TEST(SettleLayers, BringsTheSkinUnderTheClothesAndMovesNothingElse) {
  Drawn drawn;
  const LooseGaussians nothing_loose(drawn.layers, [](const torch::Tensor&) { return torch::full({14}, 10.0F); });
  const torch::Tensor settled = settle_layers(drawn.decoder, drawn.sampler, drawn.order, nothing_loose, drawn.planes);
  const double before = drawn.disorder(drawn.planes), after = drawn.disorder(settled);
  EXPECT_GT(before, 0.05);
  EXPECT_LT(after, 0.1 * before);
  const torch::Tensor moved = (settled - drawn.planes).abs();
  EXPECT_GT(moved.slice(0, 0, 6).slice(2, 0, kHeight).max().item<float>(), 0.01);
  EXPECT_EQ(moved.slice(0, 6).max().item<float>(), 0);
  EXPECT_EQ(moved.slice(2, kHeight).max().item<float>(), 0);
  EXPECT_FALSE(settled.requires_grad());
}

TEST(SettleLayers, FadesWhatFloatsAndHoldsWhatDoesNot) {
  Drawn drawn;
  // All but the hair lie near the hip, the top or the bottom over it, whose reach is long.
  torch::Tensor sizes = torch::full({14}, 1e-4F);
  sizes[10] = sizes[12] = sizes[4] = 10.0F;
  const LooseGaussians loose(drawn.layers, [&](const torch::Tensor&) { return sizes; });
  const torch::Tensor before = drawn.decode(drawn.planes).opacity, floating = loose.find(drawn.decode(drawn.planes));
  const torch::Tensor settled = settle_layers(drawn.decoder, drawn.sampler, drawn.order, loose, drawn.planes);
  const torch::Tensor after = drawn.decode(settled).opacity, held = loose.outer_mask() & ~floating;
  ASSERT_EQ(floating.nonzero().numel(), 1);
  EXPECT_GT(before[7].item<float>(), 0.5F);
  EXPECT_LT(after[7].item<float>(), 0.1F);
  EXPECT_LT((after - before).index({held}).abs().max().item<float>(), 0.15F);
  EXPECT_EQ((settled - drawn.planes).slice(0, 6).abs().max().item<float>(), 0);
}

TEST(SettleLayers, DoesNotMoveWhatIsKept) {
  Drawn drawn;
  const LooseGaussians nothing_loose(drawn.layers, [](const torch::Tensor&) { return torch::full({14}, 10.0F); });
  torch::Tensor kept = torch::zeros(drawn.planes.sizes(), torch::kBool);
  kept.slice(1, 0, kHeight / 2).fill_(true);
  const torch::Tensor moved = (settle_layers(drawn.decoder, drawn.sampler, drawn.order, nothing_loose, drawn.planes, kept) - drawn.planes).abs();
  EXPECT_EQ(moved.slice(1, 0, kHeight / 2).max().item<float>(), 0);
  EXPECT_GT(moved.slice(1, kHeight / 2).max().item<float>(), 0);
}

}  // namespace
}  // namespace layeravatar::avatar
