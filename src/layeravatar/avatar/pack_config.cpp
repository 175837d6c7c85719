#include "layeravatar/avatar/pack_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layeravatar/core/error.h"

namespace layeravatar::avatar {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void reject(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file + ": " + what);
}

}  // namespace

std::string PackConfig::to_json() const {
  return Json{{"profile", profile},
              {"image-size", image_size},
              {"planes-height", planes_height},
              {"unet-base-channels", unet_base_channels},
              {"unet-channel-factors", unet_channel_factors},
              {"unet-resblocks", unet_resblocks},
              {"unet-heads", unet_heads},
              {"unet-attention", unet_attention},
              {"unet-prior-rank", unet_prior_rank},
              {"provenance", provenance}}
      .dump();
}

PackConfig PackConfig::from_json(const std::string& text, const std::string& file) {
  PackConfig c;
  try {
    const Json json = Json::parse(text);
    json.at("profile").get_to(c.profile);
    json.at("image-size").get_to(c.image_size);
    json.at("planes-height").get_to(c.planes_height);
    json.at("unet-base-channels").get_to(c.unet_base_channels);
    json.at("unet-channel-factors").get_to(c.unet_channel_factors);
    json.at("unet-resblocks").get_to(c.unet_resblocks);
    json.at("unet-heads").get_to(c.unet_heads);
    json.at("unet-attention").get_to(c.unet_attention);
    if (json.contains("unet-prior-rank")) json.at("unet-prior-rank").get_to(c.unet_prior_rank);
    json.at("provenance").get_to(c.provenance);
  } catch (const Json::exception& e) {
    reject(file, fmt::format("pack configuration: {}", e.what()));
  }
  const auto check = [&](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      reject(file, fmt::format("pack configuration: {} = {}; expected {}..{}", name, value, low, high));
  };
  check("image-size", c.image_size, 16, 8192);
  check("planes-height", c.planes_height, 4, 4096);
  check("unet-base-channels", c.unet_base_channels, 2, 4096);
  check("length of unet-channel-factors", static_cast<double>(c.unet_channel_factors.size()), 1, 10);
  for (const double factor : c.unet_channel_factors) check("unet-channel-factors", factor, 0.01, 100);
  check("unet-resblocks", c.unet_resblocks, 1, 16);
  check("unet-prior-rank", c.unet_prior_rank, 0, 4096);
  check("unet-heads", c.unet_heads, 1, 64);
  for (const int a : c.unet_attention) check("unet-attention", a, 1, 4096);
  return c;
}

}  // namespace layeravatar::avatar
